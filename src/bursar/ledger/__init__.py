"""Double-entry ledger: accounts, transfers, and the one function that posts."""
