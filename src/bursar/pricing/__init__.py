"""Prices as pure functions: a basket and rules in, an explained price out."""
