"""A progress bar on standard error, if that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(
    total_bytes: int | None, *, quiet: bool = False
) -> Iterator[Callable[[int], None]]:
    """Yield a function that takes the number of bytes read so far, of *total_bytes*, and updates the bar."""
    if quiet or not sys.stderr.isatty():
        yield _ignore
        return
    from rich import progress
    from rich.console import Console

    display = progress.Progress(
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with display:
        task = display.add_task("reading", total=total_bytes)
        yield lambda done_bytes: display.update(task, completed=done_bytes)


def _ignore(done_bytes: int) -> None:
    pass
