"""Asking any number of sources at once: each its own tile, all in the time of the slowest."""
