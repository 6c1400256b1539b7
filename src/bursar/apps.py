"""The Django app `bursar`: all tables, one migration history."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class BursarConfig(AppConfig):
    """Django app configuration; reinstalls the triggers after every migration."""

    name = "bursar"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect the `post_migrate` signal."""
        post_migrate.connect(_install_triggers, sender=self)


def _install_triggers(**_: Any) -> None:
    from bursar import triggers  # not importable before the apps are loaded

    triggers.install_triggers()
