"""An event loop whose time is counted, not waited for: what takes an hour is over at once."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Jumping(selectors.DefaultSelector):
    """Where the loop would wait for its next timer, its time jumps there."""

    seconds = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("nothing will ever happen any more")
            self.seconds += timeout
        return ready


class Loop(asyncio.SelectorEventLoop):
    """Its clock begins at 0; nothing but its own timers may wake it."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds that were slept so far."""
        return self._jumping.seconds


def run(main: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, in virtual time."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        return runner.run(main)
