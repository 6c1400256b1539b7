"""Detect clients that test cards, guess passwords or scan, and sudden changes of counts."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bursar.accesslog.aggregation.rows import Rows
from bursar.accesslog.parsing import ip_addresses
from bursar.accesslog.report import ReportRow, Signal
from bursar.accesslog.signals import classification

#: Minimum count for a signal.
DECLINED_MIN, BAD_SIGNATURES_MIN, FAILED_LOGINS_MIN, PROBES_MIN, MISSING_MIN = 5, 3, 10, 3, 30
#: Card testing: at least this many payment attempts, of which this share is declined.
ATTEMPTS_MIN, DECLINED_SHARE_MIN = 20, 0.6
#: Maximum number of signals of one kind.
SIGNALS_MAX = 20
#: A count has changed if it differs by this factor, and by this many standard deviations (Poisson).
CHANGE_MIN, DEVIATIONS_MIN = 2.0, 5.0
_HOURS_MIN = 3


@dataclass(frozen=True, slots=True, order=True)
class Suspect:
    """
    An address and its counts; *counts* are `classification.MEASURES`.

    *paths* is the number of distinct paths; *missing* of them returned 404, *probes* are scanner probes.
    """

    weight: int
    address: str
    paths: int
    missing: int
    probes: int
    counts: tuple[int, ...]

    def count(self, name: str) -> int:
        """Return one of `classification.MEASURES`."""
        return self.counts[classification.MEASURES.index(name)]


def find_suspects(rows: Rows) -> Iterator[Suspect]:
    """Sum the adjacent rows of each address; yield the addresses that reach a threshold."""
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
    chosen = (column["declined"] >= DECLINED_MIN) | (column["bad_signatures"] >= BAD_SIGNATURES_MIN)
    chosen |= (
        (column["failed_logins"] >= FAILED_LOGINS_MIN)
        | (probes >= PROBES_MIN)
        | (missing >= MISSING_MIN)
    )
    assert rows.texts is not None
    for at in np.flatnonzero(chosen).tolist():
        text: bytes = rows.texts[begins[at]]
        address = ip_addresses.canonical_address(text.partition(b"\t")[0].decode("latin-1"))
        if address is None:
            continue
        counts = (*totals[at].tolist(), *ends[at].tolist())
        path_counts = int(paths[at]), int(missing[at]), int(probes[at])
        yield Suspect(sum(counts[2:sums]), address, *path_counts, counts)


def most_active(suspects: Iterable[Suspect]) -> list[Suspect]:
    """Return the suspects with the highest counts, in bounded memory."""
    return heapq.nlargest(SIGNALS_MAX * 10, suspects)


def detect(suspects: Iterable[Suspect]) -> list[Signal]:
    """Return the signals of all suspects; an address may have several."""
    by_kind: dict[str, list[Signal]] = {}
    for suspect in sorted(suspects, reverse=True):
        for signal in _signals(suspect):
            by_kind.setdefault(signal["kind"], []).append(signal)
    return [signal for kind in by_kind.values() for signal in kind[:SIGNALS_MAX]]


def _signals(suspect: Suspect) -> Iterator[Signal]:
    attempts, declined = suspect.count("attempts"), suspect.count("declined")
    values: dict[str, int | float] = {
        "declined": declined,
        "attempts": attempts,
        "paths": suspect.paths,
    }
    if (rate := _per_minute(suspect, declined)) is not None:
        values["declined_per_minute"] = rate
    if attempts >= ATTEMPTS_MIN and declined >= DECLINED_SHARE_MIN * attempts:
        yield _signal(
            "card_testing",
            suspect,
            f"{declined:,} of {attempts:,} payment attempts declined",
            values,
        )
    elif declined >= DECLINED_MIN:
        yield _signal(
            "declined_payments",
            suspect,
            f"{declined:,} of {attempts:,} payment attempts declined",
            values,
        )
    if (count := suspect.count("bad_signatures")) >= BAD_SIGNATURES_MIN:
        yield _signal(
            "webhook_signatures", suspect, f"{count:,} webhooks rejected", {"rejected": count}
        )
    if (count := suspect.count("failed_logins")) >= FAILED_LOGINS_MIN:
        yield _signal("credential_stuffing", suspect, f"{count:,} failed logins", {"failed": count})
    if suspect.probes >= PROBES_MIN or suspect.missing >= MISSING_MIN:
        message = f"{suspect.missing:,} requested paths not found, {suspect.probes:,} known scanner probes"
        yield _signal(
            "scanner", suspect, message, {"missing": suspect.missing, "probes": suspect.probes}
        )


def _signal(kind: str, suspect: Suspect, message: str, values: dict[str, int | float]) -> Signal:
    return {"kind": kind, "subject": suspect.address, "message": message, "values": values}


def _per_minute(suspect: Suspect, count: int) -> float | None:
    since_first, last = suspect.count("since_first"), suspect.count("last")
    seconds = last - (classification.FAR_FUTURE - since_first) if since_first else 0
    return round(count * 60 / seconds, 1) if seconds > 0 else None


def compare_counts(
    before: Mapping[str, int], after: Mapping[str, int], *, scale: float, where: str
) -> list[Signal]:
    """
    Compare the counts of two periods; *scale* is the length of the second relative to the first.

    A signal needs a change by a factor of `CHANGE_MIN` and by `DEVIATIONS_MIN` standard deviations.
    """
    signals: list[Signal] = []
    for name, count in after.items():
        expected = before.get(name, 0) * scale
        deviation = (expected + before.get(name, 0) * scale * scale + 1) ** 0.5
        if abs(count - expected) < DEVIATIONS_MIN * deviation:
            continue
        high, low = max(count, expected), min(count, expected)
        if high >= CHANGE_MIN * max(low, 1):
            word = name.replace("_", " ")
            message = f"{count:,} {word} {where}; expected {expected:,.0f}"
            signals.append(
                {
                    "kind": "change",
                    "subject": word,
                    "message": message,
                    "values": {"expected": round(expected, 1), "actual": count},
                }
            )
    return signals


_COMPARED = ("requests", "client_errors", "server_errors")


def compare_last_hour(hours: Sequence[ReportRow]) -> list[Signal]:
    """Compare the last complete hour with the 24 hours before it."""
    if len(hours) < _HOURS_MIN + 2:
        return []
    last, earlier = hours[-2], hours[-26:-2]
    before = {name: sum(int(row.get(name, 0)) for row in earlier) for name in _COMPARED}  # type: ignore[call-overload]
    after = {name: int(last.get(name, 0)) for name in _COMPARED}  # type: ignore[call-overload]
    start = last["hour"].removesuffix(":00Z").replace("T", " ")
    return compare_counts(
        before, after, scale=1 / len(earlier), where=f"in the hour from {start} UTC"
    )


def compare_periods(
    before: Mapping[str, int], before_seconds: int, after: Mapping[str, int], after_seconds: int
) -> list[Signal]:
    """Compare with the earlier period that a partial result covers."""
    if before_seconds <= 0 or after_seconds <= 0:
        return []
    return compare_counts(
        {name: before.get(name, 0) for name in _COMPARED},
        {name: after.get(name, 0) for name in _COMPARED},
        scale=after_seconds / before_seconds,
        where="in this period",
    )
