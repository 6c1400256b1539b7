"""Benchmarks: one file a system, each against named peers in the same minute."""
