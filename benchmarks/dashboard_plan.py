"""
What the made-up APIs of the benchmark do: by a seed, the same for every client.

`usual` is the profile of the issue: latencies lognormal (median 180 ms, sigma 0.6) between 50 and
600 ms, drawn anew for each attempt; 5 % of attempts fail with 503, 1 % hang. `guide` is the guide's:
every API answers, in 400 ms on average and 580 ms at most; `quick` is ten times as fast.
"""

from __future__ import annotations

import functools
import math
import random
from dataclasses import dataclass
from typing import NamedTuple

#: Every client: an attempt's time-out, how often it tries, its pauses between, and the whole's end.
ATTEMPT_SECONDS, ATTEMPTS_MAX, PAUSES, DEADLINE_SECONDS = 1.0, 3, (0.05, 0.1), 3.0
HEADER = "X-Board"
#: More attempts than any client makes at one source.
_DRAWN = 8


class Attempt(NamedTuple):
    """What the server does with one call: *seconds* until it answers, and if it ever does."""

    seconds: float
    status: int
    hangs: bool


@dataclass(frozen=True, slots=True)
class Board:
    """Which APIs are asked."""

    profile: str
    seed: int
    count: int

    def plan(self) -> tuple[tuple[Attempt, ...], ...]:
        """Each source's attempts, in order."""
        return _plan(self)

    def limit_seconds(self) -> float:
        """What the slowest takes by itself, not hedged, with no overhead at all."""
        return max(map(_alone, self.plan()))

    def sum_seconds(self) -> float:
        """What all take one after the other."""
        return sum(map(_alone, self.plan()))

    def urls(self, *, port: int, run: str = "") -> list[str]:
        """
        An address for each, at a host of its own: all of 127.0.0.0/8 leads to this machine.

        Without *run* they are the same for every board, which `header` then names.
        """
        before = f"/{self.named(run)}" if run else ""
        return [
            f"http://127.1.{number // 250}.{number % 250 + 1}:{port}{before}/{number}"
            for number in range(self.count)
        ]

    def named(self, run: str) -> str:
        """This board, asked in *run*: every run meets the attempts from the first on."""
        return f"{self.profile}/{self.seed}/{self.count}/{run}"

    def header(self, run: str) -> dict[str, str]:
        """The header that names the board."""
        return {HEADER: self.named(run)}


@functools.lru_cache(8)
def _plan(board: Board) -> tuple[tuple[Attempt, ...], ...]:
    if board.profile in {"guide", "quick"}:
        scale = 1.0 if board.profile == "guide" else 0.1
        step = 0.36 / (board.count - 1)
        return tuple(
            (Attempt(scale * (0.22 + number * step), 200, hangs=False),) * _DRAWN
            for number in range(board.count)
        )
    dice = random.Random(f"{board.profile} {board.seed} {board.count}")
    return tuple(tuple(_drawn(dice) for _ in range(_DRAWN)) for _ in range(board.count))


def _drawn(dice: random.Random) -> Attempt:
    seconds = min(max(dice.lognormvariate(math.log(0.18), 0.6), 0.05), 0.6)
    fate = dice.random()
    return Attempt(seconds, 503 if fate < 0.05 else 200, hangs=fate >= 0.99)


def _alone(attempts: tuple[Attempt, ...]) -> float:
    passed = 0.0
    for number in range(ATTEMPTS_MAX):
        attempt = attempts[number]
        passed += ATTEMPT_SECONDS if attempt.hangs else attempt.seconds
        if not attempt.hangs and attempt.status == 200:
            break
        if number + 1 < ATTEMPTS_MAX:
            passed += PAUSES[number]
    return min(passed, DEADLINE_SECONDS)
