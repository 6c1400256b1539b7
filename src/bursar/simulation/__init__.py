"""A merchant's day, simulated: orders of every kind coming in without end."""
