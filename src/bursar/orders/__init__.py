"""Orders: place, import from files, refund by lines."""
