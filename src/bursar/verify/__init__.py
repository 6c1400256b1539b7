"""The proof that the books close: every folder's invariants, run together."""
