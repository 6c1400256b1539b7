"""Who may do what: people and their roles, API keys, sessions, and the trail of what was changed."""
