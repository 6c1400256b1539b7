"""A file of invoices with three mistakes in its middle, and the same file mended."""

from __future__ import annotations

import contextlib
import csv
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.stories.scenes import Scene, Task

HEADER = "invoice issued customer country currency sku item quantity unit_price vat_percent method".split()
#: An O for a 0, a quantity that is a word, a day that is not in the calendar.
MISTAKES = {8: "4.2O", 7: "two", 1: "31/02/2026 10:00"}


@contextlib.contextmanager
def files(task: Task) -> Iterator[Task]:
    """Write `broken.csv` and `mended.csv` with one line for each invoice."""
    with tempfile.TemporaryDirectory(prefix="bursar-story-") as folder:
        broken, mended = Path(folder, "broken.csv"), Path(folder, "mended.csv")
        rows = [_row(number) for number in range(task["rows"])]
        _write(mended, rows)
        for number, (column, text) in enumerate(MISTAKES.items(), task["rows"] // 2):
            rows[number][column] = text
        _write(broken, rows)
        yield {"broken": str(broken), "mended": str(mended)}


def _row(number: int) -> list[str]:
    price = f"{1 + number % 90}.{number % 100:02}"
    return [
        f"INV-{number:07}",
        "02/03/2026 10:00",
        "customer-001",
        "Germany",
        "EUR",
        "MUG",
        "A mug",
        str(1 + number % 5),
        price,
        "0",
        "tok_visa",
    ]


def _write(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([HEADER, *rows])


SCENE = Scene(
    story=6,
    title="an import that fails in the middle",
    guide_says="no partial import; every error with its context",
    columns={
        "before": "row by row, bare except",
        "guide": "a transaction, exceptions",
        "ours": "bursar import orders",
    },
    tasks={"100,000 invoices, 3 mistakes": {"rows": 100_000}},
    quick={"5,000 invoices, 3 mistakes": {"rows": 5_000}},
    setup=files,
)
