"""The tables of one process, filled one block of lines at a time."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bursar.accesslog.aggregation import client_counts, hash_aggregate, sketches
from bursar.accesslog.aggregation.hash_aggregate import HashAggregate, Shape
from bursar.accesslog.aggregation.rows import Rows
from bursar.accesslog.aggregation.sketches import AddressSketch
from bursar.accesslog.aggregation.spill import Spill
from bursar.accesslog.filters import Filters, Network
from bursar.accesslog.parsing import (
    byte_search,
    client_ip,
    columns,
    field_parsers,
    formats,
    ip_addresses,
    json_lines,
    records,
)
from bursar.accesslog.parsing.blocks import Block
from bursar.accesslog.parsing.byte_search import ODD, Ints, Mask, U, Words
from bursar.accesslog.parsing.columns import Finder, Span
from bursar.accesslog.parsing.formats import LogFormat
from bursar.accesslog.parsing.ip_addresses import Tokens
from bursar.accesslog.parsing.records import MAXIMA, MEASURES, Hashes, Records, Texts
from bursar.accesslog.signals import classification

#: Tables keyed by text, with the field that is their key.
TEXT_TABLES = {
    "methods": "method",
    "paths": "path",
    "agents": "agent",
    "referrers": "referrer",
    "hosts": "host",
}
#: Tables keyed by a number.
NUMBER_TABLES = ("statuses", "hours")
SUSPECTS = "suspects"
_SLOT_BITS = {"paths": 15, "agents": 12, "referrers": 12}
#: The inverse of ODD modulo 2^64.
_ODD_INVERSE = U(pow(int(ODD), -1, 2**64))
_ONE_REQUEST = (U(1),)
_HASH = ord("#")
#: Maximum length of an address; a longer text is not an address.
_ADDRESS_BYTES_MAX = 45
_CACHE_SIZE = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    Tables to fill, and the requests to count.

    *tables* may contain "addresses", `TEXT_TABLES`, `NUMBER_TABLES` and "suspects". *rows_max* is the
    number of rows each table may hold pending in memory. *approximate* estimates the number of addresses
    and is only allowed if "addresses" is the only table.
    """

    tables: frozenset[str]
    filters: Filters
    trusted: tuple[Network, ...] = ()
    rows_max: int = 1 << 16
    approximate: bool = False

    @property
    def requests_only(self) -> bool:
        """Whether only the number of requests per address is counted."""
        return self.tables == {"addresses"}

    def with_rows_max(self, rows_max: int) -> Plan:
        """Return a copy with another *rows_max*."""
        return replace(self, rows_max=rows_max)

    @property
    def selects_lines(self) -> bool:
        """Whether lines are filtered, or the client may be taken from a forwarded address."""
        return bool(self.trusted) or self.filters != Filters()


@dataclass(slots=True)
class LineCounts:
    """Line counts and period; *first* and *last* are epoch seconds, None without a time."""

    read: int = 0
    counted: int = 0
    filtered: int = 0
    too_long: int = 0
    bytes: int = 0
    first: int | None = None
    last: int | None = None

    def add(self, other: LineCounts) -> None:
        """Add the counts of another process or run."""
        for name in ("read", "counted", "filtered", "too_long", "bytes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        if other.first is not None and other.last is not None:
            self.add_times(np.array([other.first, other.last]))

    def add_times(self, epochs: Ints) -> None:
        """Extend the period to *epochs*; negative values (no time) are ignored."""
        valid = epochs[epochs >= 0]
        if len(valid):
            low, high = int(valid.min()), int(valid.max())
            self.first = low if self.first is None else min(self.first, low)
            self.last = high if self.last is None else max(self.last, high)


def number_keys(number: Any) -> Any:
    """Return evenly distributed keys for *number*."""
    return number.astype(U) * ODD


def numbers_from_keys(keys: Words) -> Words:
    """Return the numbers from which `number_keys` made *keys*."""
    return keys * _ODD_INVERSE


class Aggregator:
    """Counts the lines of blocks in the tables of a plan, within its memory limit."""

    def __init__(self, plan: Plan, spill: Spill) -> None:
        self.plan, self.lines = plan, LineCounts()
        self.sketch = AddressSketch() if plan.approximate else None
        shape = Shape(len(MEASURES), MAXIMA)
        texts = Shape(len(MEASURES), MAXIMA, checked=True, text="O")
        self._tables: dict[str, HashAggregate] = {}
        for name in sorted(plan.tables - {"addresses"}):
            kind = texts if name in TEXT_TABLES else shape
            if name == SUSPECTS:
                kind = Shape(
                    len(classification.MEASURES), classification.MAXIMA, checked=True, text="O"
                )
            self._tables[name] = HashAggregate(
                name, kind, spill, slot_bits=_SLOT_BITS.get(name, 10), rows_max=plan.rows_max // 4
            )
        self._clients = None
        if self.sketch is not None:
            self._clients = sketches.sketch_counter(self.sketch, rows_max=plan.rows_max)
        elif "addresses" in plan.tables:
            measures = 1 if plan.requests_only else len(MEASURES)
            self._clients = client_counts.exact_counter(
                spill, measures=measures, maxima=MAXIMA, rows_max=plan.rows_max
            )
        pattern = plan.filters.path_pattern()
        self._path_matches = (
            functools.lru_cache(_CACHE_SIZE)(lambda path: pattern.match(path) is not None)
            if pattern
            else None
        )
        self._client_ip = functools.lru_cache(_CACHE_SIZE)(
            functools.partial(client_ip.client_ip, plan.trusted)
        )
        self._is_selected = functools.lru_cache(_CACHE_SIZE)(
            lambda caller: client_ip.in_networks(caller, plan.filters.networks)
        )

    @functools.cached_property
    def _path_categories(self) -> classification.PathCategoryCache:
        return classification.PathCategoryCache()

    def block_counter(self, log_format: LogFormat) -> Callable[[Block], None]:
        """Return the function that counts the blocks of a log in *log_format*."""
        if (
            self.plan.requests_only
            and not self.plan.selects_lines
            and log_format.starts_with_client
        ):
            return self._count_leading
        if log_format.has_fields_line:
            return self._count_headed(log_format)
        return functools.partial(self._count, log_format)

    def add_too_long(self, too_long: int) -> None:
        """Count lines that were skipped because they are too long."""
        self.lines.read += too_long
        self.lines.too_long += too_long

    def flush(self) -> None:
        """Write all tables to the spill file."""
        for table in self._tables.values():
            table.flush()
        if self._clients is not None:
            self._clients.flush()

    def _count_leading(self, block: Block) -> None:
        """Count the addresses at the start of the lines; nothing else is parsed."""
        assert self._clients is not None
        self.lines.read += len(block.starts)
        if len(block.starts):
            self._clients.add(
                ip_addresses.parse_tokens(block.raw, block.starts, None), _ONE_REQUEST
            )

    def _count_headed(self, declared: LogFormat) -> Callable[[Block], None]:
        """Return the function that counts a log in which `#Fields:` lines may redefine the columns."""

        def count(block: Block) -> None:
            nonlocal declared
            at = 0
            for comment in np.flatnonzero(block.bytes[block.starts] == _HASH).tolist():
                self._count(declared, _block_part(block, at, comment))
                line = bytes(block.raw[block.starts[comment] : block.breaks[comment]])
                declared = formats.parse_fields_line(line) or declared
                at = comment + 1
            self._count(declared, _block_part(block, at, len(block.starts)))

        return count

    def _count(self, log_format: LogFormat, block: Block) -> None:
        if not len(block.starts):
            return
        self.lines.read += len(block.starts)
        if log_format.is_json:
            block = json_lines.to_tab_separated(block)
        finder = Finder(block)
        field_columns = columns.find_columns(block, log_format, finder)
        lines = Records(block, field_columns, finder)
        client = _client_span(lines, log_format)
        selected, clients = self._select(lines, client)
        self.lines.counted += int(selected.sum())
        self.lines.filtered += int((field_columns.good & ~selected).sum())
        index = np.flatnonzero(selected)
        if lines.epochs is not None:
            self.lines.add_times(lines.epochs[index])
        self._count_clients(lines, clients, client, selected)
        if not len(index):
            return
        paths = None
        if not self._tables.keys().isdisjoint(("paths", SUSPECTS)) and lines.path is not None:
            paths = lines.hashes(lines.path, index)
        self._count_tables(lines, index, paths)
        if SUSPECTS in self._tables:
            self._count_suspects(lines, clients, client, index, paths)

    def _select(
        self, lines: Records, client: Span | None
    ) -> tuple[Mask, Sequence[bytes | None] | None]:
        """Return the mask of counted lines, and their client addresses if they had to be resolved."""
        filters, selected = self.plan.filters, lines.good.copy()
        if filters.since is not None or filters.until is not None:
            times = lines.times
            selected &= times != field_parsers.NO_TIME
            selected &= times >= (filters.since or 0)
            selected &= times < (
                filters.until if filters.until is not None else classification.FAR_FUTURE
            )
        if filters.statuses:
            selected &= np.isin(lines.statuses, [one for each in filters.statuses for one in each])
        if self._path_matches is not None and lines.path is not None:
            selected &= [self._path_matches(text) for text in lines.texts(lines.path)]
        if client is None or not (filters.networks or self.plan.trusted):
            return selected, None
        forwarded = lines.spans.get("forwarded")
        lists = lines.texts(forwarded) if forwarded else itertools.repeat(b"-")
        clients = [
            self._client_ip(one, chain)
            for one, chain in zip(lines.texts(client), lists, strict=False)
        ]
        if filters.networks:
            selected &= [caller is not None and self._is_selected(caller) for caller in clients]
        return selected, clients

    def _count_clients(
        self,
        lines: Records,
        clients: Sequence[bytes | None] | None,
        client: Span | None,
        selected: Mask,
    ) -> None:
        if self._clients is None or client is None:
            return
        chosen = selected if self.plan.selects_lines else lines.has_client
        index = np.flatnonzero(chosen)
        if clients is None:
            client_tokens = ip_addresses.parse_tokens(
                lines.block.raw, client[0][index], client[1][index]
            )
        else:
            client_tokens = _parse_tokens([clients[at] or b"" for at in index.tolist()])
        if not len(index):
            return
        values: Sequence[Any] = _ONE_REQUEST
        if not self.plan.requests_only:
            good = selected[index]  # of other lines only the client is valid
            values = [
                _ONE_REQUEST[0],
                *(
                    np.where(good, value[index], records.ZERO)
                    if isinstance(value, np.ndarray)
                    else value
                    for value in lines.measures[1:]
                ),
            ]
        self._clients.add(client_tokens, values)

    def _count_tables(self, lines: Records, index: Ints, paths: Hashes | None) -> None:
        measures = [hash_aggregate.select(value, index) for value in lines.measures]
        for name, table in self._tables.items():
            if name in NUMBER_TABLES:
                numbers = (lines.statuses if name == "statuses" else lines.hours)[index]
                valid = np.flatnonzero(numbers >= 0)
                counted = [hash_aggregate.select(value, valid) for value in measures]
                table.add(number_keys(numbers[valid]), None, counted)
            elif name in TEXT_TABLES and (span := lines.span_of(TEXT_TABLES[name])) is not None:
                key, check = (name == "paths" and paths) or lines.hashes(span, index)
                table.add(key, check, measures, functools.partial(lines.texts_of, span, index))

    def _count_suspects(
        self,
        lines: Records,
        clients: Sequence[bytes | None] | None,
        client: Span | None,
        index: Ints,
        paths: Hashes | None,
    ) -> None:
        """Count the requests that are relevant for signals, by address and path."""
        if client is None or lines.path is None or paths is None:
            return
        path, is_post = lines.path, lines.is_post
        near = np.flatnonzero((lines.statuses[index] >= 300) | is_post[index])
        index, by_path = index[near], paths[0][near]
        categories = self._path_categories.categories(
            by_path, functools.partial(lines.texts_of, path, index)
        )
        relevant, measures = classification.measure(
            categories, lines.statuses[index], is_post[index], lines.times[index]
        )
        chosen = np.flatnonzero(relevant)
        if not len(chosen):
            return
        index, by_path = index[chosen], by_path[chosen]
        if clients is None:
            starts, ends = client[0][index], client[1][index]
            raw, ends = lines.block.raw, np.minimum(ends, starts + _ADDRESS_BYTES_MAX)
        else:
            raw, starts, ends = records.to_buffer([clients[at] or b"" for at in index.tolist()])
        by_address, _ = byte_search.hash_texts(raw, starts, ends)

        def texts(positions: Ints) -> Texts:
            paths_at = lines.texts_of(path, index, positions)
            addresses_at = records.texts_at(raw, starts, ends, positions)
            return records.object_array(
                [b"%b\t%b" % pair for pair in zip(addresses_at, paths_at, strict=True)]
            )

        counts = [one[chosen].astype(U) for one in measures]
        self._tables[SUSPECTS].add(by_address, by_path, counts, texts)

    def add_rows(self, table: str, rows: Rows) -> None:
        """Add *rows* of a table from a partial result; their keys use this process's secrets."""
        if table in (client_counts.V4, client_counts.V6):
            assert self._clients is not None
            self._clients.add_rows(table, rows)
        else:
            self._tables[table].add_rows(rows)


def _block_part(block: Block, begin: int, end: int) -> Block:
    return Block(
        block.raw, block.bytes, block.starts[begin:end], block.breaks[begin:end], block.extent
    )


def _client_span(lines: Records, log_format: LogFormat) -> Span | None:
    span = lines.spans.get("client")
    if span is None or not (log_format.client_has_port or log_format.is_json):
        return span
    return field_parsers.strip_ports(lines.block, span, lines.finder)


def _parse_tokens(texts: Sequence[bytes]) -> Tokens:
    raw, starts, ends = records.to_buffer(texts)
    return ip_addresses.parse_tokens(raw, starts, ends)


def suspect_keys(rows: Sequence[tuple[bytes, bytes]]) -> tuple[Words, Words]:
    """Return a key for each address and a check word for each path, so that an address's rows are adjacent."""
    by_address, _ = byte_search.hash_texts(*records.to_buffer([address for address, _ in rows]))
    by_path, _ = byte_search.hash_texts(*records.to_buffer([path for _, path in rows]))
    return by_address, by_path
