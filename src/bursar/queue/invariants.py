"""What is never false of the queue: each sentence with the query that finds what breaks it."""

from __future__ import annotations

from collections.abc import Mapping

INVARIANTS: Mapping[str, str] = {
    "a leased job has a token and an end, and no other job has": (
        "SELECT id, name, state FROM bursar_job WHERE (state = 'leased') <> "
        "(lease_token IS NOT NULL AND leased_until IS NOT NULL)"
    ),
    "one living job per unique key": (
        "SELECT unique_key, COUNT(*) AS jobs FROM bursar_job "
        "WHERE unique_key IS NOT NULL AND state <> 'dead' GROUP BY unique_key HAVING COUNT(*) > 1"
    ),
    "a run of a periodic job that has started is finished or has its job": (
        "SELECT s.name, s.last_started_at FROM bursar_periodicjobstatus s "
        "WHERE s.last_outcome = 'started' "
        "AND NOT EXISTS (SELECT 1 FROM bursar_job j WHERE j.name = s.name)"
    ),
}
