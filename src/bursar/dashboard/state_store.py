"""Keeping: states and alerts in the database, read back at a restart and by those who follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from bursar import group_commit
from bursar.dashboard.evaluation import PreviousState, from_json, to_json
from bursar.dashboard.live_state import Kind, Level, SourceStatus, State
from bursar.dashboard.models import SourceState
from bursar.dashboard.thresholds import AlertState

_WRITTEN = (
    "title",
    "board_group",
    "kind",
    "state",
    "told",
    "standing",
    "readings",
    "as_of",
    "since",
    "reason",
    "seconds",
    "interval_seconds",
    "spark",
    "seq",
)


def save(known: Iterable[PreviousState], *, first: int) -> None:
    """Write states, numbered from *first* on; needs the transaction that took the numbers."""
    group_commit.require_transaction()
    rows = [_row(one, seq) for seq, one in enumerate(known, first)]
    SourceState.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["key"], update_fields=_WRITTEN
    )


def forget(keys: Iterable[str]) -> None:
    """Delete the states of sources that are watched no more."""
    group_commit.require_transaction()
    SourceState.objects.filter(key__in=list(keys)).delete()


def load() -> dict[str, PreviousState]:
    """Everything that was known when it was last written, by key."""
    return {row.key: _known(row) for row in SourceState.objects.order_by("key")}


def changes_since(seq: int) -> tuple[int, list[SourceStatus]]:
    """What was written after *seq*, and the newest number."""
    rows = list(SourceState.objects.filter(seq__gt=seq).order_by("seq"))
    return (rows[-1].seq if rows else seq), [_known(row).view for row in rows]


def keys() -> set[str]:
    """Of what there is a state."""
    return set(SourceState.objects.values_list("key", flat=True))


def _row(known: PreviousState, seq: int) -> SourceState:
    view, standing = known.view, known.standing
    return SourceState(
        key=view.key,
        title=view.title,
        board_group=view.group,
        kind=view.kind,
        state=view.state,
        told=standing.told,
        standing={"candidate": standing.candidate, "count": standing.count},
        readings=to_json(view.readings),
        as_of=view.as_of,
        since=view.since,
        first_at=known.first_at,
        reason=view.reason,
        seconds=view.seconds,
        interval_seconds=view.interval_seconds,
        spark=list(view.spark),
        seq=seq,
    )


def _known(row: SourceState) -> PreviousState:
    # The table's constraints keep these to the words that the types name.
    kind, state, told = cast("Kind", row.kind), cast("State", row.state), cast("Level", row.told)
    return PreviousState(
        view=SourceStatus(
            key=row.key,
            title=row.title,
            group=row.board_group,
            kind=kind,
            state=state,
            readings=from_json(row.readings),
            as_of=row.as_of,
            since=row.since,
            reason=row.reason,
            seconds=row.seconds,
            interval_seconds=row.interval_seconds,
            spark=tuple(float(value) for value in row.spark),
        ),
        standing=AlertState(told=told, **_standing(row.standing)),
        first_at=row.first_at,
    )


def _standing(kept: Mapping[str, Any]) -> dict[str, Any]:
    return {"candidate": kept.get("candidate", "ok"), "count": kept.get("count", 0)}
