"""What the lines of a block say: fields, numbers, times, and who calls."""
