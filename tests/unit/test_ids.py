"""Ids tell their kind, sort by the time they were made, and never repeat."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar import ids
from tests import thoroughness

WELL_FORMED = re.compile(r"pay_[0-7][0-9a-hjkmnp-tv-z]{25}")


class Kind(StrEnum):
    CHARGE = "charge"


def uuid_of(made: str) -> UUID:
    number = 0
    for letter in made.partition("_")[2]:
        number = number * 32 + "0123456789abcdefghjkmnpqrstvwxyz".index(letter)
    return UUID(int=number)


def test_an_id_is_its_prefix_and_a_uuid_of_version_7() -> None:
    before = time.time_ns() // 1_000_000
    made = ids.new(ids.PAYMENT)
    after = time.time_ns() // 1_000_000
    assert WELL_FORMED.fullmatch(made)
    found = uuid_of(made)
    assert (found.version, found.variant) == (7, "specified in RFC 4122")
    assert before <= found.int >> 80 <= after


def test_ids_made_later_sort_later() -> None:
    made = [ids.new("pay") for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == 20_000


def test_threads_never_make_the_same_id() -> None:
    count = thoroughness.examples(20_000)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: ids.new("pay"), range(count)))
    assert len(set(made)) == count


def test_processes_never_make_the_same_id() -> None:
    program = "from bursar import ids\nprint(*[ids.new('pay') for _ in range(1000)])"
    started = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(2)
    ]
    made = b" ".join(process.communicate()[0] for process in started).split()
    assert (len(made), len(set(made))) == (2000, 2000)


def test_prefixes_differ() -> None:
    prefixes = [
        value
        for name, value in vars(ids).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, str)
    ]
    assert len(set(prefixes)) == len(prefixes) == 10


def test_a_digest_is_32_hexadecimal_letters() -> None:
    assert re.fullmatch("[0-9a-f]{32}", ids.digest("a", 1, None))
    assert ids.digest("a", 1) == ids.digest("a", 1)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "bc"), ("ab", "c")),
        (("a",), ("a", "")),
        (("a", "b"), ("b", "a")),
        ((1,), ("1",)),
        ((True,), (1,)),
        ((None,), ("None",)),
        (("a\x1fstr:b",), ("a", "b")),
        (("a;str:1:b",), ("a", "b")),
        ((), ("",)),
    ],
)
def test_a_digest_tells_parts_apart(one: tuple[object, ...], other: tuple[object, ...]) -> None:
    assert ids.digest(*one) != ids.digest(*other)


parts = st.lists(
    st.text(st.characters(codec=None), max_size=4) | st.integers() | st.none(), max_size=4
).map(tuple)


@given(parts, parts)
def test_digests_are_equal_only_for_equal_parts(
    one: tuple[object, ...], other: tuple[object, ...]
) -> None:
    assert (ids.digest(*one) == ids.digest(*other)) == (one == other)


def test_a_name_from_an_enum_is_the_text_the_database_gives_back() -> None:
    assert ids.digest(Kind.CHARGE, 1) == ids.digest("charge", 1)


@dataclass(frozen=True)
class Record:
    value: object
    note: str = ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([1, "x"], (1, "x")),
        (Kind.CHARGE, "charge"),
        (
            datetime(2026, 3, 1, 12, tzinfo=UTC),
            datetime(2026, 3, 1, 13, tzinfo=timezone(timedelta(hours=1))),
        ),
        (Record(Decimal("1.0")), Record(Decimal("1.0"))),
    ],
)
def test_equal_content_has_one_fingerprint(one: object, other: object) -> None:
    assert ids.fingerprint(Record(one)) == ids.fingerprint(Record(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (None, "None"),
        (1, "1"),
        (1, True),
        (Decimal(1), 1),
        (date(2026, 3, 1), "2026-03-01"),
        (date(2026, 3, 1), datetime(2026, 3, 1, tzinfo=UTC)),
        (["a", "b"], ["b", "a"]),
        (["ab"], ["a", "b"]),
        ({"a": "b"}, [("a", "b")]),
        (Record("a"), Record("", note="a")),
    ],
)
def test_other_content_has_another_fingerprint(one: object, other: object) -> None:
    assert ids.fingerprint(Record(one)) != ids.fingerprint(Record(other))


def test_an_excluded_field_does_not_count() -> None:
    plain, noted = Record(1), Record(1, note="x")
    assert ids.fingerprint(plain) != ids.fingerprint(noted)
    assert ids.fingerprint(plain, excluded={"note"}) == ids.fingerprint(noted, excluded={"note"})


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (1.5, "float is neither a dataclass nor a msgspec struct"),
        (object(), "object is neither a dataclass nor a msgspec struct"),
        ({1, 2}, "set is neither a dataclass nor a msgspec struct"),
        (b"x", "bytes is neither a dataclass nor a msgspec struct"),
        (datetime(2026, 3, 1), "has no time zone"),  # noqa: DTZ001
    ],
)
def test_what_cannot_be_compared_is_refused(value: object, reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        ids.fingerprint(Record(value))
