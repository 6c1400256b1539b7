"""`bursar verify` finds alerts that do not follow each other, or that nobody will deliver."""

from __future__ import annotations

from typing import Any

import pytest

from bursar import clock
from bursar.dashboard.invariants import INVARIANTS
from bursar.dashboard.models import Alert, SourceState
from bursar.verify import checks
from tests.conftest import Database
from tests.shop import commit


def _alert(number: int, before: str, after: str, **more: Any) -> None:
    told = {"state": after, "webhook": "off", "email": "off", "raised_at": clock.now()} | more
    Alert.objects.create(
        id=f"alr_{number}",
        source_key="api:a",
        sequence=number,
        title="A",
        previous_level=before,
        new_level=after,
        **told,
    )


def _source(level: str) -> None:
    now = clock.now()
    SourceState.objects.create(
        key="api:a",
        title="A",
        group_name="g",
        kind="api",
        state="ok",
        alerted_level=level,
        last_success_at=now,
        state_since=now,
        monitored_since=now,
        interval_seconds=60.0,
        sequence=1,
    )


def _broken() -> list[str]:
    return [sentence for sentence, check in INVARIANTS.items() if checks.confirm_failures(check)]


def _sound() -> None:
    _alert(1, "ok", "warning")
    _alert(2, "warning", "ok", webhook="sent")
    _source("ok")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda: None, None),
        (
            lambda: _alert(3, "critical", "ok"),
            "each alert of a source starts at the level",
        ),
        (lambda: _alert(4, "ok", "critical"), "alerts of a source are numbered without a gap"),
        (
            lambda: SourceState.objects.update(alerted_level="warning"),
            "the alerted level of a source is",
        ),
        (lambda: _alert(3, "ok", "warning", email="waiting"), "every alert is delivered or has"),
    ],
)
def test_each_sentence_finds_what_breaks_it(
    database: Database, change: Any, sentence: str | None
) -> None:
    commit(_sound)
    commit(change)
    broken = _broken()
    if sentence is None:
        assert broken == []
    else:
        assert any(each.startswith(sentence) for each in broken), broken
