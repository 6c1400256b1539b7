"""Invariants of the queue: each name with the query that returns its violations."""

from __future__ import annotations

from collections.abc import Mapping

INVARIANTS: Mapping[str, str] = {
    "leased jobs, and no others, have a lease token and expiry": (
        "SELECT id, name, state FROM bursar_job WHERE (state = 'leased') <> "
        "(lease_token IS NOT NULL AND leased_until IS NOT NULL)"
    ),
    "at most one job per unique key is not dead": (
        "SELECT unique_key, COUNT(*) AS jobs FROM bursar_job "
        "WHERE unique_key IS NOT NULL AND state <> 'dead' GROUP BY unique_key HAVING COUNT(*) > 1"
    ),
    "a started run of a periodic job has finished or still has its job": (
        "SELECT s.name, s.last_started_at FROM bursar_periodicjobstatus s "
        "WHERE s.last_outcome = 'started' "
        "AND NOT EXISTS (SELECT 1 FROM bursar_job j WHERE j.name = s.name)"
    ),
}
