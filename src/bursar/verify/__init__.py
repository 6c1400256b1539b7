"""Verification: run the invariants of every folder and compare with the providers."""
