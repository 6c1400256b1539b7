"""
Generate access logs of any size from a seed, with their true answers.

The log of a shop with its API and its webhooks in the combined format, times ascending over four days.
Half of its lines iterate over the pool of client addresses, so that every address occurs (more, if the
pool is larger than half of the lines); half are drawn by Zipf's law. 70 % of the addresses are
IPv4, 30 % IPv6 in canonical text (RFC 5952). One line in a thousand has a URL of 0.8 to 10 KB. Two
in a thousand are malformed: three of four of them have no client (empty, TLS bytes, truncated at
either end, 999.1.1.1), the others have one and are malformed after it.

    python -m benchmarks.accesslog_log FILE --megabytes 4000 --distinct 5000000
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from benchmarks import accesslog_texts, machine
from benchmarks.accesslog_texts import Ints

ZIPF = 1.15
SWEEP_SHARE_MIN, SWEEP_SHARE_MAX = 0.5, 0.97
LONG_SHARE, NO_CLIENT_SHARE, BROKEN_SHARE = 0.001, 0.0015, 0.0005
BEGAN_AT = datetime(2026, 11, 16, tzinfo=UTC)
DAYS = 4
TOP = 20
#: Malformed lines are never from the busiest clients, so that the top is the same without them.
BUSIEST = 64
CHUNK_LINES = 1 << 15
PARTS = 5  # of a line: two of its address, time, request with its answer, who asked


class TooManyAddresses(ValueError):
    """A log has too few lines for each address to occur."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """
    The true answers about a generated log.

    *no_client* lines have no client address; *broken* lines have one and are malformed after it.
    *top* are the 20 busiest addresses, without those that equal the 21st; it is the same whether
    broken lines count or not.
    """

    bytes: int
    lines: int
    distinct: int
    top: list[tuple[str, int]]
    no_client: int
    broken: int


def write(path: Path, *, size: int, distinct: int, seed: int = machine.SEED) -> Truth:
    """
    Write a log of about *size* bytes and *distinct* addresses; the same for the same seed.

    :raises TooManyAddresses: if there are too few lines for so many.
    """
    generator = LogGenerator(size=size, distinct=distinct, seed=seed)
    with path.open("wb", buffering=0) as file:
        for chunk in generator.chunks():
            file.write(chunk)
    return generator.truth()


class LogGenerator:
    """Generates one log: consume `chunks` completely, then call `truth`."""

    def __init__(self, *, size: int, distinct: int, seed: int) -> None:
        self._addresses, self._requests = accesslog_texts.of(seed)
        self._seconds = _seconds()
        self._distinct, self._seed = distinct, seed
        self._begin(CHUNK_LINES)
        average = len(self._chunk(CHUNK_LINES)) / CHUNK_LINES
        self._begin(max(1, round(size / average)))
        if self._sweep_share > SWEEP_SHARE_MAX:
            raise TooManyAddresses(f"{self._lines:,} lines are too few for {distinct:,} addresses")

    def _begin(self, lines: int) -> None:
        self._draw, self._dice = np.random.default_rng(self._seed), random.Random(self._seed)
        self._counts = np.zeros(self._distinct, np.uint32)
        self._lines = lines
        self._done = self._bytes = self._swept = self._no_client = self._broken = 0
        good = lines * (1 - NO_CLIENT_SHARE - BROKEN_SHARE)
        wanted = self._distinct + 6 * math.sqrt(lines)  # which lines sweep is drawn
        self._sweep_share = max(SWEEP_SHARE_MIN, wanted / good)

    def chunks(self) -> Iterator[bytes]:
        """Yield the log in chunks of `CHUNK_LINES` lines."""
        while self._done < self._lines:
            count = min(CHUNK_LINES, self._lines - self._done)
            chunk = self._chunk(count)
            self._done += count
            self._bytes += len(chunk)
            yield chunk

    def truth(self) -> Truth:
        """Return the true answers; all chunks must have been consumed."""
        assert self._done == self._lines
        distinct = int(np.count_nonzero(self._counts))
        assert distinct == self._distinct
        order = np.argsort(-self._counts.astype(np.int64), kind="stable")[: TOP + 1]
        counts = self._counts[order].tolist()
        pairs = zip(map(self._addresses.text, order.tolist()), counts, strict=True)
        top = [pair for pair in pairs if len(counts) <= TOP or pair[1] > counts[TOP]]
        return Truth(
            bytes=self._bytes,
            lines=self._lines,
            distinct=distinct,
            no_client=self._no_client,
            broken=self._broken,
            top=sorted(top, key=_rank),
        )

    def _chunk(self, count: int) -> bytes:
        parts = [b""] * (PARTS * count)
        fate = self._draw.random(count)
        no_client = np.flatnonzero(fate < NO_CLIENT_SHARE)
        broken = np.flatnonzero((fate >= NO_CLIENT_SHARE) & (fate < NO_CLIENT_SHARE + BROKEN_SHARE))
        clients = self._clients(count, no_client, broken)
        heads, tails = self._addresses.parts(clients)
        parts[0::PARTS] = map(self._addresses.heads.__getitem__, heads.tolist())
        parts[1::PARTS] = map(self._addresses.tails.__getitem__, tails.tolist())
        parts[2::PARTS] = self._times(count)
        self._ask(parts, count, np.flatnonzero(fate > 1 - LONG_SHARE))
        for line in broken.tolist():
            parts[PARTS * line + 3 : PARTS * line + 5] = [self._broken_rest(), b"\n"]
        for line in no_client.tolist():
            parts[PARTS * line : PARTS * line + 5] = [self._no_client_line(), b"\n", b"", b"", b""]
        self._no_client += len(no_client)
        self._broken += len(broken)
        return b"".join(parts)

    def _clients(self, count: int, no_client: Ints, broken: Ints) -> Ints:
        """Draw the number of each line's client, and count them."""
        highest = 1 - (self._distinct + 1.0) ** (1 - ZIPF)
        rank = (1 - self._draw.random(count) * highest) ** (1 / (1 - ZIPF))
        clients: Ints = np.minimum(rank.astype(np.int64) - 1, self._distinct - 1)
        sweeps = self._draw.random(count) < self._sweep_share
        sweeps[no_client] = sweeps[broken] = False
        swept = int(sweeps.sum())
        clients[sweeps] = (self._swept + np.arange(swept)) % self._distinct
        self._swept += swept
        busiest = min(BUSIEST, self._distinct - 1)
        clients[broken] = self._draw.integers(busiest, self._distinct, len(broken))
        np.add.at(self._counts, np.delete(clients, no_client), 1)
        return clients

    def _times(self, count: int) -> list[bytes]:
        """Return the texts between address and request; the rate varies over each day."""
        days = DAYS * (self._done + np.arange(count)) / self._lines
        seconds = ((days - 0.1 * np.sin(2 * np.pi * days)) * 86_400).astype(np.int64)
        return list(map(self._seconds.__getitem__, seconds.tolist()))

    def _ask(self, parts: list[bytes], count: int, long: Ints) -> None:
        requests = self._requests
        # The number of heads of a kind is proportional to its lines. Half of its lines use a quarter of them.
        kinds = np.searchsorted(
            np.cumsum(requests.ranges[:, 1]),
            self._draw.integers(len(requests.heads), size=count),
            side="right",
        )
        first, heads, first_end, ends = requests.ranges[kinds].T
        head = first + (heads * self._draw.random(count) ** 2).astype(np.int64)
        end = first_end + (ends * self._draw.random(count)).astype(np.int64)
        parts[3::PARTS] = map(requests.heads.__getitem__, head.tolist())
        parts[4::PARTS] = map(requests.ends.__getitem__, end.tolist())
        for line in long.tolist():
            parts[PARTS * line + 3] = self._dice.choice(requests.long_heads)

    def _no_client_line(self) -> bytes:
        dice = self._dice
        return dice.choice(
            [
                b"",
                b"\x16\x03\x01\x02\x00\x01\x00" + dice.randbytes(90).replace(b"\n", b"\xff"),
                b"93.184.21",
                b'/1.1" 200 5120 "-" "Mozilla/5.0 (X11; Linux x86_64)"',
                b'"GET / HTTP/1.1" 400 0 "-" "-"',
                b'999.1.1.1 - - [16/Nov/2026:00:00:00 +0000] "GET / HTTP/1.1" 200 612 "-" "-"',
            ]
        )

    def _broken_rest(self) -> bytes:
        return self._dice.choice(
            [
                b"GET /c/mu",
                b'GET /p/"mug" HTTP/1.1 200',
                b"\x16\x03\x01\xfe\xff",
                b'-" 400 0 "-"',
            ]
        )


def _seconds() -> list[bytes]:
    """Return the text between address and request for each second of the log."""
    days = [(BEGAN_AT + timedelta(days=day)).strftime("%d/%b/%Y") for day in range(DAYS + 1)]
    clock = [
        f"{hour:02}:{minute:02}:{second:02}"
        for hour in range(24)
        for minute in range(60)
        for second in range(60)
    ]
    return [f' - - [{day}:{time} +0000] "'.encode() for day in days for time in clock]


def _rank(pair: tuple[str, int]) -> tuple[int, str]:
    return -pair[1], pair[0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Generate an access log; print its true answers as JSON."
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--distinct", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=machine.SEED)
    options = parser.parse_args()
    truth = write(
        options.file,
        size=round(options.megabytes * 1e6),
        distinct=options.distinct,
        seed=options.seed,
    )
    print(json.dumps(asdict(truth)))


if __name__ == "__main__":
    main()
