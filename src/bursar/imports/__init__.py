"""Files taken in all or nothing: strict reading, mappings, and the record of what came in."""
