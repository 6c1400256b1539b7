"""
Retention: delete old rows in batches, each in a commit of its own.

One large DELETE would block all other writers; a batch takes about as long as any other write.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.db.models import QuerySet

from bursar import group_commit, logs

#: Rows deleted in one commit, by default.
BATCH_ROWS_MAX: Final = 1_000

log = logs.get(__name__)


async def delete_in_batches(
    delete: Callable[[int], int], *, what: str, batch_rows_max: int = BATCH_ROWS_MAX
) -> int:
    """
    Call *delete* in consecutive commits until it deletes less than a full batch.

    *delete* takes the maximum number of rows and returns the number it deleted. Other writers run
    between two batches. Returns the total; *what* names the rows in the log.
    """
    deleted_rows = 0
    while True:
        batch_rows = await group_commit.commits.run(lambda: delete(batch_rows_max))
        deleted_rows += batch_rows
        if batch_rows < batch_rows_max:
            break
    if deleted_rows:
        log.info("rows_pruned", what=what, rows=deleted_rows)
    return deleted_rows


def delete_first(rows: QuerySet[Any], rows_max: int) -> int:
    """Delete the first *rows_max* of *rows* in their order. Needs an open transaction."""
    group_commit.require_transaction()
    # Keys first: PostgreSQL may run a sub-select with LIMIT once per row.
    keys = list(rows.values_list("pk", flat=True)[:rows_max])
    deleted_rows, _ = rows.model._default_manager.filter(pk__in=keys).delete()  # noqa: SLF001  (Django's)
    return int(deleted_rows)
