"""Reproducible fault injection: seed, key and call number determine the fault."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from bursar.providers.sandbox.scenarios import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Probabilities (0 to 1, sum at most 1) of a time-out, lost request or unreadable response."""

    timeouts: float = 0.0
    lost: float = 0.0
    garbage: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.timeouts or self.lost or self.garbage)


def draw(seed: int, *parts: object) -> float:
    """Return a number in [0, 1) that depends on the arguments only."""
    text = "\x1f".join(map(str, (seed, *parts)))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def choose_fault(faults: Faults, *, seed: int, operation: str, key: str, call: int) -> Fault:
    """Return the fault of call number *call* (from 1) of *operation* with *key*."""
    drawn = draw(seed, operation, key, call)
    for probability, fault in (
        (faults.timeouts, Fault.TIMEOUT_AFTER),
        (faults.lost, Fault.LOST),
        (faults.garbage, Fault.GARBAGE),
    ):
        if drawn < probability:
            return fault
        drawn -= probability
    return Fault.NONE
