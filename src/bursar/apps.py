"""Bursar as Django's one app: all tables, one migration history."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class BursarConfig(AppConfig):
    """The app `bursar`; the one signal it listens to puts the guards back after a migration."""

    name = "bursar"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the one signal."""
        post_migrate.connect(_install_guards, sender=self)


def _install_guards(**_: Any) -> None:
    from bursar import triggers  # tables and connections are not ready when this module loads

    triggers.install_triggers()
