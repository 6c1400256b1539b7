"""Parse bytes into columns: streams, blocks of complete lines, formats, field values."""
