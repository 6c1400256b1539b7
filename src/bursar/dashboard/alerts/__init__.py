"""Alerts: stored with the state that raised them, then delivered by webhook and e-mail."""
