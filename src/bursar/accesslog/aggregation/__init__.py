"""Counting without bound in bounded memory: exact by spilling, approximate by sketches."""
