"""Error bounds of estimates, also after merging sketches."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.accesslog.aggregation import client_counts, sketches
from bursar.accesslog.aggregation.rows import Rows
from bursar.accesslog.aggregation.sketches import AddressSketch
from bursar.accesslog.parsing import ip_addresses, records
from bursar.accesslog.parsing.byte_search import U

_FREQUENT_MAX = 4
_batches = st.lists(
    st.dictionaries(st.integers(1, 20), st.integers(1, 50), min_size=1, max_size=12), max_size=12
)


def _told(sketch: AddressSketch) -> dict[int, int]:
    return {int.from_bytes(text, "big"): count for text, count in sketch.top(100)}


@given(parts=st.lists(_batches, min_size=1, max_size=3))
def test_no_address_has_more_than_is_told_and_few_have_less(
    parts: list[list[dict[int, int]]],
) -> None:
    truth: Counter[int] = Counter()
    whole = AddressSketch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sketches, "_FREQUENT_MAX", _FREQUENT_MAX)
        for batches in parts:
            sketch = AddressSketch()
            for batch in batches:
                truth.update(batch)
                key = np.array([ip_addresses.v4_key(f"0.0.0.{number}") for number in batch], U)
                counts = np.array(list(batch.values()), U).reshape(-1, 1)
                order = np.argsort(key)
                sketch.add_rows(client_counts.V4, Rows(key[order], None, counts[order], None))
            whole.merge(sketch)
        told = _told(whole)
    total = truth.total()
    assert whole.requests == total
    assert len(told) <= _FREQUENT_MAX
    bound = total // (_FREQUENT_MAX + 1)
    for number, count in truth.items():
        if number in told:
            assert count <= told[number] <= count + bound
        else:
            assert count <= bound


_SPELLINGS = {
    "192.0.2.1": ["192.0.2.1", "::ffff:192.0.2.1", "::FFFF:192.0.2.1"],
    **{f"2001:db8::{n:x}": [f"2001:db8::{n:x}", f"2001:DB8:0::{n:x}"] for n in range(1, 12)},
    "": ["-", "fe80::1%eth0", "2001:db8::1::2", ":", "2001:db8::1\0"],
}
_spelled = st.sampled_from([(true, told) for true, each in _SPELLINGS.items() for told in each])


@given(blocks=st.lists(st.lists(_spelled, max_size=14), max_size=10))
def test_an_address_is_known_again_in_every_spelling_however_little_is_remembered(
    blocks: list[list[tuple[str, str]]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sketches, "_RECENT_BITS", 2)
        patch.setattr(sketches, "_PARTS_MAX", 2)
        sketch = AddressSketch()
        counting = sketches.sketch_counter(sketch, rows_max=8)
        for block in blocks:
            texts = records.to_buffer([told.encode() for _, told in block])
            counting.add(ip_addresses.parse_tokens(*texts), [U(1)])
        counting.flush()
    truth = Counter(true for block in blocks for true, _ in block if true)
    told = {ip_addresses.address_text(text): count for text, count in sketch.top(100)}
    assert told == truth
    assert sketch.requests == truth.total()
    assert abs(sketch.distinct() - len(truth)) <= 1  # two of a dozen may have one register
