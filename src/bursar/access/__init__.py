"""Users and their roles, API keys, sessions, idempotency records and the audit log."""
