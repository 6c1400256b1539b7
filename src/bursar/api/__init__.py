"""The public API: FastAPI routes that translate a request, call one function, and render its answer."""
