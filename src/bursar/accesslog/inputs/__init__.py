"""Inputs: paths, formats, positions and pieces of the logs."""
