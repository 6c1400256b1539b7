"""Which logs are read, from where on, and in what pieces."""
