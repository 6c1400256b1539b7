"""`HashAggregate` is exact, whichever keys replace others in its slots."""

from __future__ import annotations

import itertools
import string
from collections import defaultdict
from contextlib import closing

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bursar.accesslog.aggregation import merge, rows
from bursar.accesslog.aggregation.hash_aggregate import HashAggregate, Shape
from bursar.accesslog.aggregation.rows import Rows, Texts
from bursar.accesslog.aggregation.spill import Spill
from bursar.accesslog.parsing import byte_search, records
from bursar.accesslog.parsing.byte_search import Ints, U


def _texts_of(rows: Rows) -> list[bytes]:
    assert rows.texts is not None
    return list(rows.texts)


_texts = st.integers(0, 60).map(lambda number: b"/%d" % number)
_blocks = st.lists(st.lists(st.tuples(_texts, st.integers(0, 1000)), min_size=1, max_size=30))


@given(
    blocks=_blocks,
    rows_max=st.sampled_from([1, 8, 64]),
    slot_bits=st.sampled_from([1, 3, 7]),
    range_bytes=st.sampled_from([1, 200, merge.RANGE_BYTES]),
)
def test_every_text_is_counted_whoever_has_the_slots(
    blocks: list[list[tuple[bytes, int]]], rows_max: int, slot_bits: int, range_bytes: int
) -> None:
    expected: dict[bytes, list[int]] = defaultdict(lambda: [0, 0, 0])
    with closing(Spill()) as spill:
        shape = Shape(3, 1, checked=True, text="O")
        table = HashAggregate("t", shape, spill, slot_bits=slot_bits, rows_max=rows_max)
        for block in blocks:
            texts = records.object_array([text for text, _ in block])
            key, check = byte_search.hash_texts(*records.to_buffer(texts.tolist()))
            amounts = np.array([amount for _, amount in block], U)
            table.add(key, check, [U(1), amounts, amounts], lambda at, texts=texts: texts[at])  # type: ignore[misc]
            for text, amount in block:
                count, total, most = expected[text]
                expected[text] = [count + 1, total + amount, max(most, amount)]
        table.flush()
        told = {
            text: values
            for share in ((0, 2), (1, 2))
            for rows in merge.merge_runs(
                spill.runs, {0: spill}, maxima=1, share=share, range_bytes=range_bytes
            )
            for text, values in zip(_texts_of(rows), rows.values.tolist(), strict=True)
        }
    assert told == expected


def test_texts_that_are_made_to_collide_do_not() -> None:
    """In the fourth and eighth byte of a word they differ by the same bits: its halves' xor hides that."""
    alphabet = string.ascii_letters.encode()
    words = [b"ABC%cDEF%c" % (letter, letter) for letter in alphabet]
    texts = [b"/1234567%b%b" % pair for pair in itertools.product(words, words)]
    in_words = np.frombuffer(b"".join(texts), U).reshape(len(texts), -1).T
    by_text, by_word = (
        byte_search.hash_texts(*records.to_buffer(texts)),
        byte_search.hash_words(in_words),
    )
    for hashed in (*by_text, *by_word):
        assert hashed is not None
        assert len(np.unique(hashed)) == len(texts)


def test_what_is_counted_often_now_gets_the_slot_of_what_was_counted_often_before() -> None:
    def unasked(_: Ints) -> Texts:
        raise AssertionError("it has the slot, and its text is known")

    with closing(Spill()) as spill:
        table = HashAggregate("t", Shape(1, text="O"), spill, slot_bits=1, rows_max=4)
        for key, text, count in (
            (1, b"old", 100),
            (2, b"new", 8),
            (2, b"new", 8),
        ):  # both want the first slot
            texts = records.object_array([text] * count)
            table.add(np.full(count, key, U), None, [U(1)], lambda at, texts=texts: texts[at])  # type: ignore[misc]
        table.add(np.full(3, 2, U), None, [U(1)], unasked)
        table.flush()
        (rows,) = merge.merge_runs(spill.runs, {0: spill}, maxima=0)
    assert dict(zip(_texts_of(rows), rows.values[:, 0].tolist(), strict=True)) == {
        b"old": 100,
        b"new": 19,
    }


@given(high=st.lists(st.integers(0, 3), max_size=40), low=st.integers(1, 2**64 - 1), data=st.data())
def test_words_are_sorted_even_where_only_their_low_bits_differ(
    high: list[int], low: int, data: st.DataObject
) -> None:
    lows = st.sampled_from([0, 1, low])
    key = np.array([(one << 62) ^ data.draw(lows) for one in high], U)
    order, in_order = rows.sort_order(key)
    assert sorted(order.tolist()) == list(range(len(key)))
    assert in_order.tolist() == key[order].tolist() == sorted(key.tolist())
