"""Circuit breakers of provider accounts and hosts: no calls are sent while one is open."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from weakref import WeakSet

from bursar import clock, errors, logs

#: Number of consecutive failures that opens the circuit.
FAILURES_MAX = 10
#: How long it stays open at first, in seconds; each failed probe doubles that, up to the maximum.
OPEN_SECONDS_FIRST, OPEN_SECONDS_MAX = 5.0, 60.0

log = logs.get(__name__)


class CircuitState(StrEnum):
    """Calls are sent (closed), rejected (open), or one is sent as a probe (half open)."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class CircuitBreaker:
    """
    Counts consecutive failures (Nygard, Release It!, "Circuit Breaker").

    A clear response, including a decline, closes the circuit. `FAILURES_MAX` failures open it, or
    one failure with *open_now* (rejected credentials fail every call). After the open time one call
    is sent as a probe; the others are still rejected. *kind* is the kind of dependency that *name*
    names, for logs and metrics; *monotonic* returns seconds.
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
        """The state that the next call would meet."""
        if not self._open_seconds:
            return CircuitState.CLOSED
        is_waiting = self._probing or self._monotonic() < self._open_until
        return CircuitState.OPEN if is_waiting else CircuitState.HALF_OPEN

    def before_call(self) -> None:
        """
        Permit one call; its end is `record_success`, `record_failure` or `record_cancelled`.

        :raises errors.ExternalAPIError: while the circuit is open; `after_seconds` is the remaining
            time.
        """
        state = self.state
        if state is CircuitState.OPEN:
            remaining_seconds = max(self._open_until - self._monotonic(), 0.1)
            raise errors.ExternalAPIError(
                f"{self.name}: circuit open, no calls for {remaining_seconds:.0f} s; "
                f"last error: {self.reason}",
                after_seconds=remaining_seconds,
            )
        self._probing = state is CircuitState.HALF_OPEN

    def record_success(self) -> None:
        """Record a successful call and close the circuit."""
        if self._open_seconds:
            log.warning("circuit_closed", **{self.kind: self.name})
        self._failures, self._open_seconds, self._probing, self.reason = 0, 0.0, False, ""

    def record_failure(self, reason: str, *, open_now: bool = False) -> None:
        """Record a failed call; *open_now* opens the circuit whatever the count."""
        self._failures += 1
        # Calls that were in progress when it opened fail too; they do not extend the open time.
        enough = self._failures >= FAILURES_MAX and not self._open_seconds
        if self._probing or open_now or enough:
            self._open(reason, OPEN_SECONDS_MAX if open_now else OPEN_SECONDS_FIRST)

    def record_cancelled(self) -> None:
        """Record a cancelled call; it does not count as success or failure."""
        self._probing = False

    def _open(self, reason: str, first_seconds: float) -> None:
        doubled = min(self._open_seconds * 2, OPEN_SECONDS_MAX)
        self._open_seconds = max(first_seconds, doubled)
        self._open_until = self._monotonic() + self._open_seconds
        self._probing, self.reason = False, reason
        # Alert on this event, or on the metric `bursar_circuit_breaker_open`.
        fields = {self.kind: self.name, "reason": reason, "open_seconds": self._open_seconds}
        log.error("circuit_opened", **fields)


#: All circuit breakers of this process, for the metrics.
circuits: WeakSet[CircuitBreaker] = WeakSet()
