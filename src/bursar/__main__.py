"""`python -m bursar` is the command line."""

from __future__ import annotations

from bursar.cli import process

process()
