"""
Hedging policy: when a request is sent a second time, and how often.

Hedging (Dean and Barroso, "The Tail at Scale", 2013) sends a few more requests to cut the tail
latency. The latency of a source is estimated as TCP estimates round-trip times (RFC 6298): moving
averages of the mean and of the mean deviation.
"""

from __future__ import annotations

#: The largest share of calls that may be hedged.
HEDGED_SHARE_MAX = 0.05
#: The number of responses needed for an estimate.
SAMPLES_MIN = 8
#: In a smaller batch the other sources do not show what is late.
SOURCES_MIN = 10
#: The final hedging starts when this share of the batch's hedges equals the unanswered sources; the
#: rest of the hedges is for hedges that are late themselves.
FIRST_WAVE_SHARE = 7 / 8
#: The shortest time after which a request is hedged.
HEDGE_AFTER_SECONDS_MIN = 0.02


class LatencyEstimator:
    """Estimates the latency of a source: mean and mean deviation, in seconds (RFC 6298)."""

    __slots__ = ("deviation", "mean", "samples")

    def __init__(self) -> None:
        self.mean = self.deviation = 0.0
        self.samples = 0

    def observe(self, seconds: float) -> None:
        """Add a response that took *seconds*."""
        if not self.samples:
            self.mean, self.deviation = seconds, seconds / 2
        else:
            self.deviation += (abs(seconds - self.mean) - self.deviation) / 4
            self.mean += (seconds - self.mean) / 8
        self.samples += 1

    @property
    def is_ready(self) -> bool:
        """Whether there are enough responses for an estimate."""
        return self.samples >= SAMPLES_MIN

    @property
    def typical_seconds(self) -> float:
        """A time that most responses do not exceed."""
        return max(self.mean + self.deviation, HEDGE_AFTER_SECONDS_MIN)

    @property
    def hedge_after_seconds(self) -> float:
        """A time that hardly any response exceeds."""
        return max(self.mean + 4 * self.deviation, HEDGE_AFTER_SECONDS_MIN)

    @property
    def abandon_after_seconds(self) -> float:
        """The timeout of an attempt that may be retried."""
        return 1.5 * self.hedge_after_seconds


class HedgeBudget:
    """Budget for hedged requests: at most a fixed share of all calls so far."""

    __slots__ = ("_share", "calls", "hedges")

    def __init__(self, *, share: float = HEDGED_SHARE_MAX) -> None:
        self._share = share
        self.calls = self.hedges = 0

    def limit_for(self, calls: int) -> int:
        """Return how many hedges a batch of *calls* may send: its share, but at least one."""
        return max(int(self._share * calls + 1e-9), 1) if self._share else 0

    def try_acquire(self) -> bool:
        """Reserve one hedge. Returns False if the budget is used up."""
        if self.hedges + 1 > self._share * self.calls + 1e-9:
            return False
        self.hedges += 1
        return True
