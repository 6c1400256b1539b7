"""Bursar: self-hosted payment operations whose books always close."""

__version__ = "0.1.0"
