"""Hosts that sources ask: a circuit for each, and how many calls run there at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from bursar.providers import circuit_breaker

Start = Callable[[], None]


@dataclass(eq=False, slots=True)
class Permit:
    """A place in the queue of a host; *start* is called once, when its turn comes."""

    at_once: int
    start: Start | None

    def release(self) -> None:
        """Leave the queue."""
        self.start = None


class Host:
    """One host, shared by all sources that name it, in all gatherings."""

    __slots__ = ("_admitting", "_queue", "circuit", "running")

    def __init__(self, name: str, *, monotonic: Callable[[], float]) -> None:
        self.circuit = circuit_breaker.CircuitBreaker(name, kind="host", monotonic=monotonic)
        self.running = 0
        self._queue: deque[Permit] = deque()
        self._admitting = False

    def has_room(self, at_once: int) -> bool:
        """Whether `enter` would start at once."""
        return self.running < at_once and not self._queue

    def acquire(self, at_once: int, start: Start) -> Permit | None:
        """Call *start* now if less than *at_once* calls run here, else in its turn; then `leave`."""
        if self.has_room(at_once):
            self.running += 1
            start()
            return None
        ticket = Permit(at_once, start)
        self._queue.append(ticket)
        self._admit()
        return ticket

    def release(self) -> None:
        """Make room for the next."""
        self.running -= 1
        if self._queue:
            self._admit()

    def _admit(self) -> None:
        """First come, first served: a source that wants the host nearly idle holds others up."""
        if self._admitting:
            return  # whoever was just started has left again; the loop below goes on
        self._admitting = True
        try:
            while self._queue:
                ticket = self._queue[0]
                if ticket.start is not None and self.running >= ticket.at_once:
                    return
                self._queue.popleft()
                if ticket.start is not None:
                    self.running += 1
                    ticket.start()
        finally:
            self._admitting = False
