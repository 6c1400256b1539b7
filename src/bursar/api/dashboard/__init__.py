"""The dashboard over HTTP: the page, the board as JSON and as a stream, and the public status page."""
