"""Signals: clients that test cards, guess passwords or scan, and sudden changes."""
