"""What a merchant should look at: addresses that test cards or guess passwords, and sudden changes."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bursar.accesslog.aggregation.rows import Rows
from bursar.accesslog.parsing import ip_addresses
from bursar.accesslog.report import ReportRow, Signal
from bursar.accesslog.signals import classification

#: From how many on an address is told of.
DECLINED_MIN, SIGNATURES_MIN, SIGN_INS_MIN, PROBES_MIN, MISSING_MIN = 5, 3, 10, 3, 30
#: Card testing: so many tries, of which so large a part is declined.
TRIED_MIN, DECLINED_SHARE_MIN = 20, 0.6
#: Of each kind so many are told.
SIGNALS_MAX = 20
#: A period differs from the one before if a figure is so many times as large or small, and by no
#: less than chance explains (five standard deviations of a count, Poisson).
CHANGE_MIN, DEVIATIONS_MIN = 2.0, 5.0
_HOURS_MIN = 3


@dataclass(frozen=True, slots=True, order=True)
class Suspect:
    """
    An address and what it did; *counts* are `classification.MEASURES`.

    Of different paths it tried *paths*, of which *missing* were not there and *probes* are ways in.
    """

    weight: int
    address: str
    paths: int
    missing: int
    probes: int
    counts: tuple[int, ...]

    def figure(self, name: str) -> int:
        """Return one of `classification.MEASURES`."""
        return self.counts[classification.MEASURES.index(name)]


def suspected(rows: Rows) -> Iterator[Suspect]:
    """Bring the rows of each address together, which stand side by side; yields those that stick out."""
    if not len(rows):
        return
    begins = np.flatnonzero(np.concatenate(([True], rows.key[1:] != rows.key[:-1])))
    sums = len(classification.MEASURES) - classification.MAXIMA
    totals = np.add.reduceat(rows.values[:, :sums], begins, axis=0)
    ends = np.maximum.reduceat(rows.values[:, sums:], begins, axis=0)
    paths = np.diff(begins, append=len(rows))
    missing, probes = (
        np.add.reduceat(
            (rows.values[:, classification.MEASURES.index(name)] > 0).astype(np.int64), begins
        )
        for name in ("missing", "probes")
    )
    column = {name: totals[:, at] for at, name in enumerate(classification.MEASURES[:sums])}
    chosen = (column["declined"] >= DECLINED_MIN) | (column["signatures"] >= SIGNATURES_MIN)
    chosen |= (
        (column["sign_ins"] >= SIGN_INS_MIN) | (probes >= PROBES_MIN) | (missing >= MISSING_MIN)
    )
    assert rows.texts is not None
    for at in np.flatnonzero(chosen).tolist():
        text: bytes = rows.texts[begins[at]]
        address = ip_addresses.canonical(text.partition(b"\t")[0].decode("latin-1"))
        if address is None:
            continue
        counts = (*totals[at].tolist(), *ends[at].tolist())
        told = int(paths[at]), int(missing[at]), int(probes[at])
        yield Suspect(sum(counts[2:sums]), address, *told, counts)


def heaviest(found: Iterable[Suspect]) -> list[Suspect]:
    """Keep those that did most, in bounded memory."""
    return heapq.nlargest(SIGNALS_MAX * 10, found)


def detect(found: Iterable[Suspect]) -> list[Signal]:
    """Say what each address looks like; one may look like several things."""
    told: dict[str, list[Signal]] = {}
    for one in sorted(found, reverse=True):
        for signal in _signals(one):
            told.setdefault(signal["kind"], []).append(signal)
    return [signal for kind in told.values() for signal in kind[:SIGNALS_MAX]]


def _signals(one: Suspect) -> Iterator[Signal]:
    tried, declined = one.figure("tried"), one.figure("declined")
    figures: dict[str, int | float] = {"declined": declined, "tried": tried, "paths": one.paths}
    if (rate := _per_minute(one, declined)) is not None:
        figures["declined_per_minute"] = rate
    if tried >= TRIED_MIN and declined >= DECLINED_SHARE_MIN * tried:
        yield _signal(
            "card_testing",
            one,
            f"{declined:,} of {tried:,} payments it tried were declined",
            figures,
        )
    elif declined >= DECLINED_MIN:
        yield _signal(
            "declined_payments", one, f"{declined:,} of {tried:,} payments were declined", figures
        )
    if (count := one.figure("signatures")) >= SIGNATURES_MIN:
        yield _signal(
            "webhook_signatures", one, f"{count:,} webhooks were refused", {"refused": count}
        )
    if (count := one.figure("sign_ins")) >= SIGN_INS_MIN:
        yield _signal("credential_stuffing", one, f"{count:,} sign-ins failed", {"failed": count})
    if one.probes >= PROBES_MIN or one.missing >= MISSING_MIN:
        says = f"of the paths it asked for {one.missing:,} are not there and {one.probes:,} are ways in"
        yield _signal("scanner", one, says, {"missing": one.missing, "probes": one.probes})


def _signal(kind: str, one: Suspect, says: str, figures: dict[str, int | float]) -> Signal:
    return {"kind": kind, "subject": one.address, "says": says, "figures": figures}


def _per_minute(one: Suspect, count: int) -> float | None:
    since_first, last = one.figure("since_first"), one.figure("last")
    seconds = last - (classification.FAR - since_first) if since_first else 0
    return round(count * 60 / seconds, 1) if seconds > 0 else None


def changes(
    before: Mapping[str, int], after: Mapping[str, int], *, scale: float, where: str
) -> list[Signal]:
    """
    Compare figures of two periods; *scale* is how many times as long the second is.

    A figure is told if it changed `CHANGE_MIN`-fold, and more than chance explains.
    """
    told: list[Signal] = []
    for name, count in after.items():
        expected = before.get(name, 0) * scale
        deviation = (expected + before.get(name, 0) * scale * scale + 1) ** 0.5
        if abs(count - expected) < DEVIATIONS_MIN * deviation:
            continue
        high, low = max(count, expected), min(count, expected)
        if high >= CHANGE_MIN * max(low, 1):
            word = name.replace("_", " ")
            says = f"{count:,} {word} {where}, where {expected:,.0f} were to be expected"
            told.append(
                {
                    "kind": "change",
                    "subject": word,
                    "says": says,
                    "figures": {"was": round(expected, 1), "is": count},
                }
            )
    return told


_COMPARED = ("requests", "client_errors", "server_errors")


def within(hours: Sequence[ReportRow]) -> list[Signal]:
    """Compare the last hour but one, the last that is whole, with those of the day before it."""
    if len(hours) < _HOURS_MIN + 2:
        return []
    last, earlier = hours[-2], hours[-26:-2]
    before = {name: sum(int(row.get(name, 0)) for row in earlier) for name in _COMPARED}  # type: ignore[call-overload]
    after = {name: int(last.get(name, 0)) for name in _COMPARED}  # type: ignore[call-overload]
    return changes(before, after, scale=1 / len(earlier), where=f"in the hour from {last['hour']}")


def against(
    before: Mapping[str, int], before_seconds: int, after: Mapping[str, int], after_seconds: int
) -> list[Signal]:
    """Compare with the previous period, as a partial result tells it."""
    if before_seconds <= 0 or after_seconds <= 0:
        return []
    return changes(
        {name: before.get(name, 0) for name in _COMPARED},
        {name: after.get(name, 0) for name in _COMPARED},
        scale=after_seconds / before_seconds,
        where="since the period compared with",
    )
