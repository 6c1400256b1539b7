"""The circuit breaker of one provider account, or of a host: while it is open, nothing is sent there."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from weakref import WeakSet

from bursar import clock, errors, logs

#: So many calls without a clear answer, one after the other, open the circuit.
FAILURES_MAX = 10
#: How long it stays open at first; each probe that fails doubles it, up to the longest.
OPEN_SECONDS_FIRST, OPEN_SECONDS_MAX = 5.0, 60.0

log = logs.get(__name__)


class CircuitState(StrEnum):
    """Whether calls go through (closed), are refused (open), or one is tried (half open)."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class CircuitBreaker:
    """
    Counts failures in a row (Nygard, Release It!, "Circuit Breaker").

    A clear answer, a decline included, closes it; `FAILURES_MAX` failures open it, and so does one
    refusal of our key: another call with the same key is refused as well. After its time one call
    probes; all others are still turned away. *kind* is what *name* names, for the log and the
    metrics; *monotonic* is a clock in seconds.
    """

    __slots__ = (
        "__weakref__",
        "_failures",
        "_monotonic",
        "_open_seconds",
        "_open_until",
        "_probing",
        "kind",
        "name",
        "reason",
    )

    def __init__(
        self, name: str, *, kind: str = "provider", monotonic: Callable[[], float] = clock.monotonic
    ) -> None:
        self.kind, self.name = kind, name
        self.reason = ""
        self._monotonic = monotonic
        self._failures = 0
        self._open_seconds = 0.0
        self._open_until = 0.0
        self._probing = False
        circuits.add(self)

    @property
    def state(self) -> CircuitState:
        """What would become of a call now."""
        if not self._open_seconds:
            return CircuitState.CLOSED
        is_waiting = self._probing or self._monotonic() < self._open_until
        return CircuitState.OPEN if is_waiting else CircuitState.HALF_OPEN

    def before_call(self) -> None:
        """
        Ask to send; the caller then tells `succeeded`, `failed` or `left`.

        :raises errors.ExternalAPIError: while it is open; `after_seconds` tells for how long.
        """
        state = self.state
        if state is CircuitState.OPEN:
            remaining_seconds = max(self._open_until - self._monotonic(), 0.1)
            raise errors.ExternalAPIError(
                f"{self.name} is not asked for {remaining_seconds:.0f} s more: {self.reason}",
                after_seconds=remaining_seconds,
            )
        self._probing = state is CircuitState.HALF_OPEN

    def record_success(self) -> None:
        """Hear of a clear answer."""
        if self._open_seconds:
            log.warning("circuit_closed", **{self.kind: self.name})
        self._failures, self._open_seconds, self._probing, self.reason = 0, 0.0, False, ""

    def record_failure(self, reason: str, *, open_now: bool = False) -> None:
        """Hear of a call without a clear answer; *at_once* opens whatever the count."""
        self._failures += 1
        # Calls that were under way when it opened fail too, many at once: that is no news.
        enough = self._failures >= FAILURES_MAX and not self._open_seconds
        if self._probing or open_now or enough:
            self._open(reason, OPEN_SECONDS_MAX if open_now else OPEN_SECONDS_FIRST)

    def record_cancelled(self) -> None:
        """Hear that a call was given up by its caller, which tells nothing."""
        self._probing = False

    def _open(self, reason: str, first_seconds: float) -> None:
        doubled = min(self._open_seconds * 2, OPEN_SECONDS_MAX)
        self._open_seconds = max(first_seconds, doubled)
        self._open_until = self._monotonic() + self._open_seconds
        self._probing, self.reason = False, reason
        # The alarm: an error in the log, and `bursar_circuit_breaker_open` in the metrics.
        fields = {self.kind: self.name, "why": reason, "seconds": self._open_seconds}
        log.error("circuit_opened", **fields)


#: Every circuit of this process, for the metrics.
circuits: WeakSet[CircuitBreaker] = WeakSet()
