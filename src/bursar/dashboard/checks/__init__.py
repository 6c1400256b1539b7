"""Checks of the dashboard: provider accounts, HTTP APIs and TLS certificates."""
