"""What an estimate promises: how far a count may be off, whoever merges what."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.accesslog.counts import addresses, clients, sketches
from bursar.accesslog.counts.rows import Rows
from bursar.accesslog.counts.sketches import Sketch
from bursar.accesslog.lines.scanning import U

_KEPT = 4
_batches = st.lists(
    st.dictionaries(st.integers(1, 20), st.integers(1, 50), min_size=1, max_size=12), max_size=12
)


def _told(sketch: Sketch) -> dict[int, int]:
    return {int.from_bytes(text, "big"): count for text, count in sketch.leaders(100)}


@given(parts=st.lists(_batches, min_size=1, max_size=3))
def test_no_address_has_more_than_is_told_and_few_have_less(
    parts: list[list[dict[int, int]]],
) -> None:
    truth: Counter[int] = Counter()
    whole = Sketch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sketches, "_KEPT", _KEPT)
        for batches in parts:
            sketch = Sketch()
            for batch in batches:
                truth.update(batch)
                key = np.array([addresses.v4_key(f"0.0.0.{number}") for number in batch], U)
                counts = np.array(list(batch.values()), U).reshape(-1, 1)
                order = np.argsort(key)
                sketch.write(clients.V4, Rows(key[order], None, counts[order], None))
            whole.merge(sketch)
        told = _told(whole)
    total = truth.total()
    assert whole.requests == total
    assert len(told) <= _KEPT
    bound = total // (_KEPT + 1)
    for number, count in truth.items():
        if number in told:
            assert count <= told[number] <= count + bound
        else:
            assert count <= bound
