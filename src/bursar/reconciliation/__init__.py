"""Reconciliation: match settlement reports with our books."""
