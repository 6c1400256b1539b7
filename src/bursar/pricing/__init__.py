"""Prices as pure functions: a basket in, a priced basket out."""
