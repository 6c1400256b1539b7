"""The routes of the public API, a module a noun."""
