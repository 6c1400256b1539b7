"""Equal keys mean the same call, and nothing else does."""

import enum
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bursar.decorators import cache_keys


@dataclass
class Mutable:
    a: object


@dataclass
class Other:
    a: object


@dataclass(frozen=True)
class Frozen:
    a: object


class Pretender:
    def __repr__(self):
        return "1"


class Colour(enum.IntEnum):
    RED = 1


Pair = namedtuple("Pair", "a b")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

DIFFERENT = [
    1,
    True,
    1.0,
    Decimal(1),
    "1",
    b"1",
    bytearray(b"1"),
    None,
    Pretender(),
    Colour.RED,
    0.0,
    -0.0,
    Decimal("1.0"),
    Decimal("1.00"),
    1 + 0j,
    (1,),
    (True,),
    [1],
    [1.0],
    {1},
    frozenset({1}),
    {1: 1},
    {1: True},
    {True: 1},
    [[1]],
    [(1,)],
    (),
    [],
    set(),
    {},
    "",
    b"",
    [None],
    [1, 2],
    [2, 1],
    Mutable(1),
    Mutable(True),
    Mutable([1]),
    Other(1),
    Frozen([1]),
    Pair(1, 2),
    (1, 2),
    OrderedDict({1: 1}),
    NOON,
    NOON.astimezone(timezone(timedelta(hours=1))),
    NOON.replace(tzinfo=None),
    NOON.isoformat(),
    NOON.replace(fold=1),
    float("inf"),
    float("nan"),
    int,
    float,
]


def test_different_things_have_different_keys():
    found = [cache_keys.exact_key(value) for value in DIFFERENT]
    assert len(set(found)) == len(DIFFERENT)


def test_they_differ_as_arguments_too():
    for count in (1, 2):
        of = cache_keys.keyer(lambda *args: None)
        if count == 1:
            of = cache_keys.keyer(lambda a: None)
            found = [of((value,), {}) for value in DIFFERENT]
        else:
            of = cache_keys.keyer(lambda a, b: None)
            found = [of((value, 1), {}) for value in DIFFERENT]
        assert len(set(found)) == len(DIFFERENT)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False)
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)


@given(values, values)
def test_keys_are_equal_exactly_when_type_and_content_are(one, other):
    def told(value):  # an independent telling: dicts by sorted keys, everything with its type
        if isinstance(value, dict):
            return ("dict", [(k, told(value[k])) for k in sorted(value)])
        if isinstance(value, list | tuple):
            return (type(value).__name__, [told(each) for each in value])
        return (type(value).__name__, repr(value))

    assert (cache_keys.exact_key(one) == cache_keys.exact_key(other)) == (told(one) == told(other))


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_the_order_in_which_a_dict_was_filled_does_not_matter(given_):
    assert cache_keys.exact_key(given_) == cache_keys.exact_key(dict(reversed(given_.items())))


def f(a, b=2, *, c=3):
    return a


def simple(a, b=2):
    return a


def variadic(a, *rest, **named):
    return a


def test_one_call_spelled_in_many_ways_has_one_key():
    of = cache_keys.keyer(simple)
    spelled = [((1,), {}), ((1, 2), {}), ((), {"a": 1}), ((1,), {"b": 2}), ((), {"b": 2, "a": 1})]
    assert len({of(*call) for call in spelled}) == 1
    of = cache_keys.keyer(f)
    spelled = [((1,), {}), ((1, 2), {"c": 3}), ((), {"a": 1}), ((), {"c": 3, "b": 2, "a": 1})]
    assert len({of(*call) for call in spelled}) == 1
    of = cache_keys.keyer(variadic)
    assert of((1, 2), {"x": 1, "y": 2}) == of((1, 2), {"y": 2, "x": 1})
    assert of((1, 2, 3), {}) != of((1, (2, 3)), {})
    assert of((1,), {"named": 1}) != of((1,), {"rest": 1})


@pytest.mark.parametrize(
    "call", [((), {}), ((1, 2, 3), {}), ((1,), {"a": 1}), ((1,), {"z": 1}), ((), {"b": 1})]
)
def test_a_wrong_call_is_told_as_python_tells_it(call):
    with pytest.raises(TypeError, match="argument"):
        cache_keys.keyer(simple)(*call)


class Opaque:
    __hash__ = None  # type: ignore[assignment]


def test_what_has_no_stable_content_is_named():
    with pytest.raises(TypeError, match="cannot build a key from a Opaque"):
        cache_keys.exact_key([Opaque()])


def test_kinds_are_bounded(monkeypatch):
    monkeypatch.setattr(cache_keys, "TYPE_TUPLES_MAX", 2)
    of = cache_keys.keyer(simple)
    first = of((1, 1), {})
    assert of((1, 1), {}) == first
    of((1, "a"), {})
    of((1, b"a"), {})
    assert of((1, b"a"), {}) == of((1, b"a"), {})
