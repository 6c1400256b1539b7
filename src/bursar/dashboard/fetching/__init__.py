"""Fetching of any number of sources concurrently: one result each, in the time of the slowest."""
