"""Demonstration: import example invoices and charge them in the sandbox."""
