"""How far the reading is: a bar on a terminal's standard error, and nothing anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(total_bytes: int | None, *, quiet: bool = False) -> Iterator[Callable[[int], None]]:
    """Show a bar while inside; what is yielded takes the bytes done so far, of *total_bytes*."""
    if quiet or not sys.stderr.isatty():
        yield _nobody
        return
    from rich import progress
    from rich.console import Console

    shown = progress.Progress(
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with shown:
        task = shown.add_task("reading", total=total_bytes)
        yield lambda done_bytes: shown.update(task, completed=done_bytes)


def _nobody(done_bytes: int) -> None:
    """Take what is told."""
