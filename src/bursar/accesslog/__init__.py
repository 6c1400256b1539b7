"""Exact access log analysis in constant memory."""
