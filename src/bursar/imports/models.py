"""Table of imported files."""

from __future__ import annotations

from django.db import models


class ImportedFile(models.Model):
    """
    A completely imported file.

    Guarantees: *digest* (SHA-256 of content, purpose and options) is unique, so that importing the
    same file again writes nothing; the row commits with everything the file contains.
    """

    digest = models.CharField(primary_key=True, max_length=64)
    name = models.CharField(max_length=255)
    purpose = models.CharField(max_length=40)
    report = models.JSONField()
    imported_at = models.DateTimeField()

    def __str__(self) -> str:
        return str(self.name)
