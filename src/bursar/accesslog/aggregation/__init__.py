"""Counting any number of keys in bounded memory: exact by spilling, approximate by sketches."""
