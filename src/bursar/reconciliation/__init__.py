"""Settlement reports against our books: what matches, what does not, and why."""
