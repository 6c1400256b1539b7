"""The back office: Django's admin, read-only over money, with actions that call the same functions as the API."""
