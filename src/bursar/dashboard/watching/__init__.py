"""Watching: each source at its interval, what it told kept, in one process at a time."""
