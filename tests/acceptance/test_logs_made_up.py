"""The made-up logs of benchmarks and stories are what their truth says, counted by other means."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks import accesslog_log, accesslog_texts
from benchmarks.accesslog_log import Truth

SIZE, DISTINCT = 2_000_000, 3_000
#: Apache's combined format, as strictly as its own writer keeps to it.
COMBINED = re.compile(
    rb"([0-9a-f.:]+) - - \[(\d\d/Nov/2026:\d\d:\d\d:\d\d) \+0000\] "
    rb'"(?:GET|POST) /\S* HTTP/(?:1\.1|2\.0)" [2-5]\d\d \d+ "[^"]+" "[^"]+"'
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Truth]:
    path = tmp_path_factory.mktemp("made") / "access.log"
    truth = accesslog_log.write(path, size=SIZE, distinct=DISTINCT)
    return path.read_bytes(), truth


def _good(log: bytes) -> list[re.Match[bytes]]:
    found = filter(None, map(COMBINED.fullmatch, log.split(b"\n")))
    return [match for match in found if match[1] != b"999.1.1.1"]


def _client(line: bytes) -> str | None:
    """The address a line begins with, if it is one."""
    try:
        return ipaddress.ip_address(line.split(b" ")[0].decode()).compressed
    except ValueError:
        return None


def test_the_truth_is_what_plain_python_counts(made: tuple[bytes, Truth]) -> None:
    log, truth = made
    lines = log.removesuffix(b"\n").split(b"\n")
    clients = [_client(line) for line in lines]
    good = Counter(
        client
        for client, line in zip(clients, lines, strict=True)
        if client and COMBINED.fullmatch(line)
    )
    named = Counter(filter(None, clients))
    assert len(log) == truth.bytes
    assert len(lines) == truth.lines
    assert len(good) == len(named) == truth.distinct == DISTINCT
    for counts in (good, named):
        ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        assert truth.top == [pair for pair in ranked[:20] if pair[1] > ranked[20][1]]
    assert len(truth.top) > 10
    assert clients.count(None) == truth.no_client > 0
    assert named.total() - good.total() == truth.broken > 0


def test_seven_of_ten_addresses_are_ipv4_and_all_are_canonical(made: tuple[bytes, Truth]) -> None:
    texts = {match[1].decode() for match in _good(made[0])}
    addresses = [ipaddress.ip_address(text) for text in texts]
    assert sum(address.version == 4 for address in addresses) == 7 * DISTINCT // 10
    assert {address.compressed for address in addresses} == texts
    assert all(address.is_global for address in addresses)


def test_times_ascend_and_some_lines_are_long(made: tuple[bytes, Truth]) -> None:
    found = _good(made[0])
    times = [match[2] for match in found]
    assert times == sorted(times)
    lengths = [len(match[0]) for match in found]
    assert max(lengths) > 2_000
    assert 120 < np.median(lengths) < 250


def test_a_size_is_met(made: tuple[bytes, Truth]) -> None:
    assert abs(made[1].bytes / SIZE - 1) < 0.05


def test_the_same_seed_makes_the_same_log_and_another_another(
    made: tuple[bytes, Truth], tmp_path: Path
) -> None:
    log, truth = made
    path = tmp_path / "access.log"
    assert accesslog_log.write(path, size=SIZE, distinct=DISTINCT) == truth
    assert path.read_bytes() == log
    other = accesslog_log.write(path, size=SIZE, distinct=DISTINCT, seed=1)
    assert path.read_bytes() != log
    assert dataclasses.replace(other, top=[]) != dataclasses.replace(truth, top=[])


def test_numbers_are_different_addresses() -> None:
    addresses, _ = accesslog_texts.of(2026)
    heads, tails = addresses.parts(np.arange(1_000_000))
    assert len(set(addresses.heads)) == len(addresses.heads)
    assert len(set(addresses.tails)) == len(addresses.tails)
    assert len(np.unique(heads << 17 | tails)) == 1_000_000


def test_too_few_lines_for_the_addresses_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        accesslog_log.TooManyAddresses, match="lines are too few for 9,000 addresses"
    ):
        accesslog_log.write(tmp_path / "access.log", size=1_000_000, distinct=9_000)
