"""What scripts/bench writes has the shape that readers of its records count on; no speed is tested."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks import dashboard_simulated
from benchmarks.dashboard_plan import Board
from tests.acceptance import driving

ROOT = Path(__file__).parents[2]
FIELDS = {
    "benchmark",
    "measure",
    "unit",
    "value",
    "peer",
    "peer_value",
    "ratio",
    "machine",
    "versions",
    "commit",
    "seed",
    "date",
}


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BURSAR_")}
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env=kept,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def _records(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def test_orders_writes_records_of_the_agreed_shape(tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    done = _bench(
        "orders",
        "--quick",
        "--no-peers",
        "--orders=20",
        "--rounds=1",
        "--databases=sqlite",
        f"--json={file}",
    )
    assert done.returncode == 0, done.stderr
    assert "orders placed, charged and booked: sqlite" in done.stdout
    records = _records(file)
    assert {frozenset(record) for record in records} == {frozenset(FIELDS)}
    assert {record["benchmark"] for record in records} == {"orders/sqlite"}
    assert [(record["measure"], record["unit"]) for record in records] == [
        ("throughput", "orders/s"),
        ("cpu", "us/order"),
        ("server_cpu", "us/order"),
        ("commits", "1/order"),
        *[
            pair
            for part in ("sql", "commit", "provider", "python")
            for pair in ((f"wall_share_{part}", "1"), (f"cpu_{part}", "us/order"))
        ],
    ]
    assert {(r["peer"], r["peer_value"], r["ratio"]) for r in records} == {("", None, None)}
    first = records[0]
    assert set(first["machine"]) == {"cores", "cpu", "memory_mb", "kernel", "load"}
    assert {"python", "sqlite", "postgresql", "django", "bursar", "django-payments"} <= set(
        first["versions"]
    )
    assert re.fullmatch(r"[0-9a-f]{40}\+?|none", first["commit"])
    assert first["seed"] == 2026
    assert datetime.fromisoformat(first["date"]).tzinfo is not None


def test_decorators_writes_a_record_for_every_bar(tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    done = _bench(
        "decorators", "--quick", "--no-peers", "--calls=20", "--rounds=1", f"--json={file}"
    )
    assert done.returncode == 0, done.stderr
    told = {record["measure"]: record for record in _records(file)}
    assert list(told) == [
        "bare",
        "bare async",
        "retry",
        "retry async",
        "cache",
        "cache async",
        "stampede of 50 threads",
        "stampede of 50 coroutines",
        "four",
        "four async",
        "log line",
        "flaky at 5%, seen",
        "flaky at 5%, seen without",
        "flaky at 12%, seen",
        "flaky at 12%, seen without",
        "aggregation mean, ms",
        "aggregation P50, ms",
        "aggregation P99, ms",
    ]
    assert told["stampede of 50 threads"]["value"] == 1
    assert told["stampede of 50 coroutines"]["value"] == 1
    assert {frozenset(record) for record in told.values()} == {frozenset(FIELDS)}


def test_pricing_writes_a_record_for_each_basket(tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    done = _bench("pricing", "--quick", "--no-peers", "--calls=20", "--rounds=1", f"--json={file}")
    assert done.returncode == 0, done.stderr
    records = _records(file)
    assert [(record["measure"], record["unit"]) for record in records] == [
        ("3 lines", "quotes/s"),
        ("100 lines", "quotes/s"),
    ]
    assert {frozenset(record) for record in records} == {frozenset(FIELDS)}


def test_dashboard_page_writes_a_record_for_every_bar(tmp_path: Path) -> None:
    driving.chromium()
    file = tmp_path / "records.jsonl"
    done = _bench(
        "dashboard-page", "--quick", "--rounds=1", "--calls=5", "--minutes=0.02", f"--json={file}"
    )
    assert done.returncode == 0, done.stderr
    assert [(record["measure"], record["unit"]) for record in _records(file)] == [
        ("first paint", "ms"),
        ("all tiles painted", "ms"),
        ("all tiles painted, slowest", "ms"),
        ("updates", "updates"),
        ("update, median", "ms"),
        ("update, P99", "ms"),
        ("update, slowest", "ms"),
        ("watched", "min"),
        ("heap, first", "MB"),
        ("heap, last", "MB"),
        ("heap, highest", "MB"),
        ("heap, growth", "MB/min"),
        ("nodes, first", "nodes"),
        ("nodes, last", "nodes"),
    ]


def test_dashboard_writes_a_record_for_each_figure(tmp_path: Path) -> None:
    file = tmp_path / "records.jsonl"
    done = _bench(
        "dashboard",
        "--quick",
        "--no-peers",
        "--rounds=1",
        "--only=processes,aborted",
        f"--json={file}",
    )
    assert done.returncode == 0, done.stderr
    records = _records(file)
    assert [(record["measure"], record["unit"], record["peer"]) for record in records] == [
        ("calculations in 2 processes", "s", "in the loop"),
        ("calculations in 2 processes", "s", "2 threads"),
        ("calculations in 2 processes", "s", "1 process"),
        ("tasks left by 20 aborted boards", "tasks", ""),
        ("threads left by 20 aborted boards", "threads", ""),
        ("descriptors left by 20 aborted boards", "descriptors", ""),
    ]
    assert [record["value"] for record in records[3:]] == [0, 0, 0]
    assert {frozenset(record) for record in records} == {frozenset(FIELDS)}


@pytest.mark.parametrize("seed", range(20))
def test_a_board_in_virtual_time_takes_exactly_what_its_slowest_source_takes(seed: int) -> None:
    board = Board("usual", seed, 50)
    plain, hedged = (dashboard_simulated.gather(board, hedging=on) for on in (False, True))
    assert plain.seconds == pytest.approx(board.limit_seconds())
    assert hedged.seconds <= plain.seconds + 0.001
    assert hedged.calls <= plain.calls + 2


def test_the_guides_board_has_its_sum_and_its_slowest() -> None:
    board = Board("guide", 0, 20)
    assert board.sum_seconds() == pytest.approx(8.0)
    assert board.limit_seconds() == pytest.approx(0.58)


def test_an_unknown_benchmark_is_named() -> None:
    done = _bench("no_such_thing")
    assert done.returncode == 2
    assert "unknown benchmark 'no_such_thing'" in done.stderr


def test_the_peers_lock_names_no_host() -> None:
    text = (ROOT / "locks" / "bench.lock").read_text("utf-8")
    assert re.findall(r"(?m)^-.*|.*://.*", text) == []
    assert "django-payments==" in text
