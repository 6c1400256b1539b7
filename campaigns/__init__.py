"""Fault campaigns: kill Bursar while it runs, verify its books, and verify the check by mutants."""
