"""HTTP API of the dashboard: the page, statuses as JSON and as a stream, and the status page."""
