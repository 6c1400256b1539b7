"""Store of monitor states: written by the leader, loaded at a restart, read by followers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from bursar import group_commit
from bursar.dashboard.evaluation import (
    MonitorState,
    deserialize_measurements,
    serialize_measurements,
)
from bursar.dashboard.live_state import Kind, Level, SourceStatus, State
from bursar.dashboard.models import SourceState
from bursar.dashboard.thresholds import AlertState

_UPDATED_COLUMNS = (
    "title",
    "group_name",
    "kind",
    "state",
    "alerted_level",
    "alert_state",
    "measurements",
    "last_success_at",
    "state_since",
    "reason",
    "duration_seconds",
    "interval_seconds",
    "sparkline",
    "sequence",
)


def save(states: Iterable[MonitorState], *, first: int) -> None:
    """
    Upsert states, numbered from *first*.

    Needs the transaction that reserved the numbers (`leader_election.next_sequence`).
    """
    group_commit.require_transaction()
    rows = [_to_row(state, sequence) for sequence, state in enumerate(states, first)]
    SourceState.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["key"], update_fields=_UPDATED_COLUMNS
    )


def delete(keys: Iterable[str]) -> None:
    """Delete the states of sources that are no longer monitored. Needs an open transaction."""
    group_commit.require_transaction()
    SourceState.objects.filter(key__in=list(keys)).delete()


def load() -> dict[str, MonitorState]:
    """Return all stored states by key."""
    return {row.key: _from_row(row) for row in SourceState.objects.order_by("key")}


def changes_since(sequence: int) -> tuple[int, list[SourceStatus]]:
    """Return the newest sequence number, and the statuses written after *sequence*."""
    rows = list(SourceState.objects.filter(sequence__gt=sequence).order_by("sequence"))
    return (rows[-1].sequence if rows else sequence), [_from_row(row).status for row in rows]


def keys() -> set[str]:
    """Return the keys of all stored states."""
    return set(SourceState.objects.values_list("key", flat=True))


def _to_row(state: MonitorState, sequence: int) -> SourceState:
    status, alert_state = state.status, state.alert_state
    return SourceState(
        key=status.key,
        title=status.title,
        group_name=status.group,
        kind=status.kind,
        state=status.state,
        alerted_level=alert_state.level,
        alert_state={"candidate": alert_state.candidate, "count": alert_state.count},
        measurements=serialize_measurements(status.measurements),
        last_success_at=status.last_success_at,
        state_since=status.state_since,
        monitored_since=state.monitored_since,
        reason=status.reason,
        duration_seconds=status.duration_seconds,
        interval_seconds=status.interval_seconds,
        sparkline=list(status.sparkline),
        sequence=sequence,
    )


def _from_row(row: SourceState) -> MonitorState:
    # The constraints of the table restrict these to the values of the literal types.
    kind, state = cast("Kind", row.kind), cast("State", row.state)
    return MonitorState(
        status=SourceStatus(
            key=row.key,
            title=row.title,
            group=row.group_name,
            kind=kind,
            state=state,
            measurements=deserialize_measurements(row.measurements),
            last_success_at=row.last_success_at,
            state_since=row.state_since,
            reason=row.reason,
            duration_seconds=row.duration_seconds,
            interval_seconds=row.interval_seconds,
            sparkline=tuple(float(value) for value in row.sparkline),
        ),
        alert_state=_alert_state(cast("Level", row.alerted_level), row.alert_state),
        monitored_since=row.monitored_since,
    )


def _alert_state(level: Level, stored: Mapping[str, Any]) -> AlertState:
    return AlertState(
        level=level, candidate=stored.get("candidate", "ok"), count=stored.get("count", 0)
    )
