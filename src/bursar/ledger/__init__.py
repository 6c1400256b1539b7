"""Double-entry books: accounts, transfers, and the one function that posts."""
