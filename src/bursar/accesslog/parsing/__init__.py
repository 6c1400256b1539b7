"""From bytes to columns: streams, blocks of whole lines, formats, and the values in their fields."""
