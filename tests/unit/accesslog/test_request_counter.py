"""`RequestCounter` is exact, whichever keys compete for a slot and whenever slots are evicted."""

from __future__ import annotations

import contextlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.accesslog.aggregation import merge, request_counter
from bursar.accesslog.aggregation.request_counter import RequestCounter, SlotCounter
from bursar.accesslog.aggregation.rows import FixedWidthTexts, Rows
from bursar.accesslog.aggregation.spill import Spill
from bursar.accesslog.parsing.byte_search import U, Words

_TABLE, _ROOM, _SLOT_BITS = "table", 6, 2
#: Keys in two of the four slots, some of one key with different check words.
_names = st.integers(0, 19)
_blocks = st.lists(st.lists(_names, max_size=20), max_size=12)


def _keys(names: list[int], *, texts: bool) -> tuple[Words, Words | None, FixedWidthTexts | None]:
    name = np.array(names, U)
    if not texts:
        return name << U(59), None, None
    words = np.stack([name + U(1), name * U(7)])  # who they are, whatever their keys
    return (name >> U(1)) << U(60), name, FixedWidthTexts(words)


@pytest.mark.parametrize("texts", [False, True])
@given(blocks=_blocks, before=st.dictionaries(_names, st.integers(1, 99), max_size=5))
def test_every_request_is_counted_once_and_for_whom_it_is(
    blocks: list[list[int]], before: dict[int, int], *, texts: bool
) -> None:
    with contextlib.closing(Spill()) as spill, pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_counter, "_BYPASS_BATCHES", 1)
        kept = SlotCounter(_TABLE, spill, slot_bits=_SLOT_BITS, rows_max=4, text_bytes=16 * texts)
        tally = RequestCounter(kept, room=_ROOM, text_bytes=16 * texts, checked=texts)
        for block in blocks:
            key, check, spelled = _keys(block, texts=texts)
            tally.add(key, check, [1], spelled)
        if before:
            key, check, spelled = _keys(list(before), texts=texts)
            counts = np.array(list(before.values()), U).reshape(-1, 1)
            told_by = None if spelled is None else spelled(np.arange(len(key)))
            tally.add_rows(Rows(key, check, counts, told_by))
        tally.flush()
        told: Counter[int] = Counter()
        for rows in merge.merge_runs(spill.runs, {0: spill}, maxima=0):
            if texts:
                assert rows.texts is not None
                who = rows.texts.view(U).reshape(len(rows), 2)
                assert rows.check is not None
                assert (who[:, 0] - U(1)).tolist() == rows.check.tolist()
                names = rows.check.tolist()
            else:
                names = (rows.key >> U(59)).tolist()
            assert not told.keys() & set(names)
            told.update(dict(zip(names, rows.values[:, 0].tolist(), strict=True)))
        assert told == Counter(name for block in blocks for name in block) + Counter(before)
