"""Outputs of a report: terminal tables, JSON, CSV and an HTML page."""
