"""What holds for every request: size, time, strict JSON, who calls and how often, and how errors look."""
