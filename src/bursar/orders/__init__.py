"""Orders: placing them, importing them from files, refunding their lines."""
