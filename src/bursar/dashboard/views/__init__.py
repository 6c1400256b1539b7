"""Views of the dashboard: JSON, server-sent events, HTML pages and the terminal."""
