"""
How long to wait for an answer before asking a second time, and how often that may be done.

Hedging (Dean and Barroso, "The Tail at Scale", 2013) spends a few calls more on the slowest
answers. A source's habit is estimated as TCP estimates round trips (RFC 6298): a mean and a mean
deviation that forget slowly.
"""

from __future__ import annotations

#: At most this share of calls is sent a second time beside the first.
EXTRA_SHARE_MAX = 0.05
#: So many answers make a habit.
SEEN_MIN = 8
#: A board of fewer sources does not tell what is late.
BOARD_MIN = 10
#: The first wave of second attempts goes out when so few of a board are left, of those that may be
#: hedged; the others are for second attempts that are late themselves.
FEW_SHARE = 7 / 8
#: Nothing is late before this, whatever its habit.
LATE_SECONDS_MIN = 0.02


class LatencyEstimator:
    """How long a source took to answer, so far."""

    __slots__ = ("deviation", "mean", "seen")

    def __init__(self) -> None:
        self.mean = self.deviation = 0.0
        self.seen = 0

    def observe(self, seconds: float) -> None:
        """Hear of an answer after *seconds*."""
        if not self.seen:
            self.mean, self.deviation = seconds, seconds / 2
        else:
            self.deviation += (abs(seconds - self.mean) - self.deviation) / 4
            self.mean += (seconds - self.mean) / 8
        self.seen += 1

    @property
    def known(self) -> bool:
        """Whether there is a habit."""
        return self.seen >= SEEN_MIN

    @property
    def typical_seconds(self) -> float:
        """What most answers do not exceed."""
        return max(self.mean + self.deviation, LATE_SECONDS_MIN)

    @property
    def hedge_after_seconds(self) -> float:
        """What hardly any answer exceeds."""
        return max(self.mean + 4 * self.deviation, LATE_SECONDS_MIN)

    @property
    def abandon_after_seconds(self) -> float:
        """When an attempt is given up, if another one may follow."""
        return 1.5 * self.hedge_after_seconds


class HedgeBudget:
    """The extra calls that may be sent: never more than a share of the calls so far."""

    __slots__ = ("_share", "calls", "extra")

    def __init__(self, *, share: float = EXTRA_SHARE_MAX) -> None:
        self._share = share
        self.calls = self.extra = 0

    def of(self, calls: int) -> int:
        """How many a board of *calls* may send: its share of them, but at least one."""
        return max(int(self._share * calls + 1e-9), 1) if self._share else 0

    def try_acquire(self) -> bool:
        """Send one more, if that is allowed."""
        if self.extra + 1 > self._share * self.calls + 1e-9:
            return False
        self.extra += 1
        return True
