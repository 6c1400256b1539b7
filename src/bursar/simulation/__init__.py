"""Simulated shop: a continuous stream of sandbox orders of every kind."""
