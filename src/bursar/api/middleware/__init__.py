"""Request middleware: size and time limits, authentication, rate limiting and error responses."""
