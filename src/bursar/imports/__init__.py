"""File imports, all or nothing: strict CSV reading, mappings, and the log of imported files."""
