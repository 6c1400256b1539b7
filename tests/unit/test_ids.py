"""Ids tell their kind, sort by the time they were made, and never repeat."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar import ids
from tests import scale

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
    count = scale.examples(20_000)
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
        value for name, value in vars(ids).items() if name.isupper() and not name.startswith("_")
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
