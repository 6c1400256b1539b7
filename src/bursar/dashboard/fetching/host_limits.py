"""Limits per host: a circuit breaker, and a queue for concurrent calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from bursar.providers import circuit_breaker

Start = Callable[[], None]


@dataclass(eq=False, slots=True)
class Permit:
    """An entry in the queue of a host; *start* is called once, when a slot is free."""

    max_concurrency: int
    start: Start | None

    def release(self) -> None:
        """Leave the queue without a call."""
        self.start = None


class Host:
    """One host, shared by all sources with its name, in all batches."""

    __slots__ = ("_admitting", "_queue", "circuit", "running")

    def __init__(self, name: str, *, monotonic: Callable[[], float]) -> None:
        self.circuit = circuit_breaker.CircuitBreaker(name, kind="host", monotonic=monotonic)
        self.running = 0
        self._queue: deque[Permit] = deque()
        self._admitting = False

    def has_room(self, max_concurrency: int) -> bool:
        """Return whether `acquire` would start a call at once."""
        return self.running < max_concurrency and not self._queue

    def acquire(self, max_concurrency: int, start: Start) -> Permit | None:
        """
        Call *start* now if fewer than *max_concurrency* calls are running, else queue it.

        The caller must call `release` after each started call. Returns the queue entry, None if the
        call was started.
        """
        if self.has_room(max_concurrency):
            self.running += 1
            start()
            return None
        permit = Permit(max_concurrency, start)
        self._queue.append(permit)
        self._admit()
        return permit

    def release(self) -> None:
        """Free a slot and start the next call in the queue."""
        self.running -= 1
        if self._queue:
            self._admit()

    def _admit(self) -> None:
        """Start queued calls in FIFO order: the head of the queue blocks those behind it."""
        if self._admitting:
            return  # called by a *start* below; the outer loop continues
        self._admitting = True
        try:
            while self._queue:
                permit = self._queue[0]
                if permit.start is not None and self.running >= permit.max_concurrency:
                    return
                self._queue.popleft()
                if permit.start is not None:
                    self.running += 1
                    permit.start()
        finally:
            self._admitting = False
