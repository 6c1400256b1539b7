"""The page of one thing: its state and why, its facts, what can be decided, what belongs to it."""
