"""Pricing as pure functions: basket and rules in, explained quote out."""
