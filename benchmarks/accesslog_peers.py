"""
Other programs that count the unique addresses of a log: python -m benchmarks.accesslog_peers WAY FILE.

Each prints one line of JSON: the number of distinct first fields, and the 20 most frequent if the program
counts them. Malformed lines count as clients.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

TOP = 20


def polars(path: str) -> tuple[int, list[Any]]:
    """Polars' streaming engine on the first column; with strict UTF-8 it rejects the log."""
    from polars import col

    counts = _polars_column(path).group_by("column_0").len().collect(engine="streaming")
    return len(counts), counts.select(col("column_0", "len")).top_k(TOP, by="len").rows()


def polars_approximate(path: str) -> tuple[int, list[Any]]:
    from polars import col

    return _polars_column(path).select(col("column_0").approx_n_unique()).collect(
        engine="streaming"
    ).item(), []


def _polars_column(path: str) -> Any:
    import polars

    return polars.scan_csv(
        path,
        separator=" ",
        has_header=False,
        quote_char=None,
        truncate_ragged_lines=True,
        ignore_errors=True,
        infer_schema=False,
        encoding="utf8-lossy",
    ).select("column_0")


def duckdb(path: str) -> tuple[int, list[Any]]:
    """DuckDB's CSV reader on the first column; unless errors are ignored it rejects the log."""
    rows = _duckdb(
        path,
        "WITH counts AS (SELECT address, count(*) AS n FROM log GROUP BY address) "
        f"SELECT address, n, count(*) OVER () FROM counts ORDER BY n DESC LIMIT {TOP}",
    )
    return rows[0][2], [row[:2] for row in rows]


def duckdb_approximate(path: str) -> tuple[int, list[Any]]:
    return _duckdb(path, "SELECT approx_count_distinct(address) FROM log")[0][0], []


def _duckdb(path: str, query: str) -> Any:
    import duckdb

    name = path.replace("'", "''")
    duckdb.sql(
        f"CREATE VIEW log AS FROM read_csv('{name}', columns = {{'address': 'VARCHAR'}}, "
        "delim = ' ', quote = '', escape = '', header = false, auto_detect = false, "
        "null_padding = true, ignore_errors = true, strict_mode = false, max_line_size = 1000000)"
    )
    return duckdb.sql(query).fetchall()


def chdb(path: str) -> tuple[int, list[Any]]:
    """ClickHouse in the process, on complete lines; `splitByChar` is its fastest way to the first field."""
    import chdb

    name = path.replace("\\", "\\\\").replace("'", "\\'")
    result = chdb.query(
        "SELECT splitByChar(' ', line, 1)[1] AS address, count() AS n, count() OVER () "
        f"FROM file('{name}', 'LineAsString', 'line String') "
        f"GROUP BY address ORDER BY n DESC LIMIT {TOP}",
        "JSONCompact",
    )
    rows = json.loads(result.bytes())["data"]
    return int(rows[0][2]), [(address, int(n)) for address, n, _ in rows]


def generator(path: str) -> tuple[int, list[Any]]:
    """The guide's approach: one line at a time, a set of addresses. Bytes are faster than text."""

    def addresses() -> Iterator[bytes]:
        with open(path, "rb") as lines:  # noqa: PTH123
            for line in lines:
                yield line.partition(b" ")[0]

    return len(set(addresses())), []


def every_line(path: str) -> tuple[int, list[Any]]:
    """
    The approach before the guide's: all lines in a list, then all addresses, then the distinct ones.

    On a MemoryError it prints the number of lines.
    """
    lines: list[bytes] = []
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            lines.extend(file)  # as readlines(), but the lines are kept on a MemoryError
        return len({*[line.split(b" ")[0] for line in lines]}), []
    except MemoryError:
        read = len(lines)
        del lines
        sys.exit(f"MemoryError after {read} lines")


WAYS = {
    "polars": polars,
    "polars-approximate": polars_approximate,
    "duckdb": duckdb,
    "duckdb-approximate": duckdb_approximate,
    "chdb": chdb,
    "generator": generator,
    "list": every_line,
}


def main() -> None:
    way, path = sys.argv[1:]
    distinct, top = WAYS[way](path)
    print(json.dumps({"distinct": distinct, "top": top}))


if __name__ == "__main__":
    main()
