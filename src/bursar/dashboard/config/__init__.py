"""Configuration of monitors: the file and the back office, validated before a check runs."""
