"""Table of imported files."""

from __future__ import annotations

from django.db import models


class ImportedFile(models.Model):
    """
    A file that was taken in whole.

    Guarantees: *digest* is the SHA-256 of its bytes together with how they were to be read, and
    is there once, so that the same file does nothing the second time; the row commits with
    everything the file held.
    """

    digest = models.CharField(primary_key=True, max_length=64)
    name = models.CharField(max_length=255)
    purpose = models.CharField(max_length=40)
    report = models.JSONField()
    imported_at = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.name)
