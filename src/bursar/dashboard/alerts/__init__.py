"""Alerts: written down with what they are about, then told by webhook and e-mail."""
