"""No field is forgotten: what differs in any field is other content under the same key."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import operator
import types
import typing
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from bursar import ids
from bursar.api import app, responses
from bursar.money import MINOR_MAX, Money
from bursar.orders import operations
from bursar.payments import facts, refunds
from bursar.pricing.baskets import Line
from bursar.providers.interface import (
    CaptureRequest,
    ChargeRequest,
    RefundRequest,
    Snapshot,
    VoidRequest,
)
from bursar.providers.sandbox import simulator
from tests import thoroughness


@dataclasses.dataclass(frozen=True)
class Case:
    """A class whose content is fingerprinted, and the fields that are left out."""

    kind: type[Any]
    excluded: Collection[str]
    fingerprint: Callable[[Any], str]


def _at_the_sandbox(request: object) -> str:
    return ids.fingerprint(request, excluded=simulator.NOT_IN_FINGERPRINT)


CASES = [
    Case(operations.NewOrder, operations.NOT_IN_FINGERPRINT, operations.NewOrder.fingerprint),
    Case(Line, (), ids.fingerprint),
    Case(Snapshot, facts.NOT_IN_DIGEST, facts.snapshot_digest),
    *(
        Case(kind, simulator.NOT_IN_FINGERPRINT, _at_the_sandbox)
        for kind in (ChargeRequest, CaptureRequest, VoidRequest, RefundRequest)
    ),
]
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind.__name__)
dataclass_cases = pytest.mark.parametrize(
    "case",
    [case for case in CASES if dataclasses.is_dataclass(case.kind)],
    ids=lambda case: case.kind.__name__,
)


def _values(hint: Any) -> st.SearchStrategy[Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is datetime:
        return st.datetimes(timezones=st.just(UTC))
    if hint is Money:
        return st.builds(Money, st.integers(0, MINOR_MAX), st.sampled_from(["EUR", "JPY", "KWD"]))
    if hint is Line:
        return _records(Line)
    if origin is Sequence:
        return st.lists(_values(arguments[0]), max_size=3).map(tuple)
    if origin in {typing.Union, types.UnionType}:
        return st.one_of([_values(argument) for argument in arguments])
    return st.from_type(hint)


def _strategies(kind: type[Any]) -> dict[str, st.SearchStrategy[Any]]:
    return {name: _values(hint) for name, hint in typing.get_type_hints(kind).items()}


def _records(kind: type[Any]) -> st.SearchStrategy[Any]:
    return st.builds(kind, **_strategies(kind))


def _changed(record: Any, **change: object) -> Any:
    if isinstance(record, msgspec.Struct):
        return msgspec.structs.replace(record, **change)
    return dataclasses.replace(record, **change)


@every_case
@settings(max_examples=thoroughness.examples(100))
@given(data=st.data())
def test_what_differs_in_any_one_field_has_another_fingerprint(case: Case, data: Any) -> None:
    record = data.draw(_records(case.kind))
    fingerprint = case.fingerprint(record)
    assert case.fingerprint(_changed(record)) == fingerprint
    for name, strategy in _strategies(case.kind).items():
        value = getattr(record, name)
        other = data.draw(strategy.filter(functools.partial(operator.ne, value)))
        is_other = case.fingerprint(_changed(record, **{name: other})) != fingerprint
        assert is_other is (name not in case.excluded), name


@every_case
def test_what_is_left_out_is_a_field(case: Case) -> None:
    assert set(case.excluded) <= set(typing.get_type_hints(case.kind))


@dataclass_cases
@settings(max_examples=thoroughness.examples(25))
@given(data=st.data())
def test_a_field_that_is_added_counts(case: Case, data: Any) -> None:
    gift = ("gift_note", str, dataclasses.field(default=""))
    larger = dataclasses.make_dataclass(
        "Larger", [gift], bases=(case.kind,), frozen=True, kw_only=True, slots=True
    )
    values = {name: data.draw(strategy) for name, strategy in _strategies(case.kind).items()}
    plain, wrapped = larger(**values), larger(**values, gift_note="for you")
    assert case.fingerprint(plain) != case.fingerprint(wrapped)


# --- Refunds ------------------------------------------------------------------------------------


def test_every_argument_of_a_refund_is_content_or_left_out_by_name() -> None:
    arguments = set(inspect.signature(refunds.create_refund).parameters)
    content = {field.name for field in dataclasses.fields(refunds.RefundContent)}
    assert content.isdisjoint(refunds.NOT_IN_CONTENT)
    assert arguments == content | set(refunds.NOT_IN_CONTENT)


# --- Requests of the API ------------------------------------------------------------------------


def _request(method: str = "POST", path: str = "/v1/orders", query: str = "") -> Request:
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(b"host", b"localhost")],
        "scheme": "http",
        "server": ("localhost", 80),
    }
    return Request(scope)


def test_requests_are_told_apart_by_method_path_query_and_body() -> None:
    requests = [
        (_request(), b"{}"),
        (_request(method="PATCH"), b"{}"),
        (_request(path="/v1/orders/ord_1"), b"{}"),
        (_request(query="expand=payments"), b"{}"),
        (_request(), b'{"reference":"a"}'),
    ]
    named = [responses.fingerprint_of(request, body) for request, body in requests]
    assert len(set(named)) == len(requests)
    assert responses.fingerprint_of(_request(), b"{}") == named[0]


def test_every_header_of_a_change_is_left_out_by_name() -> None:
    paths = app.create_app(admin=False).openapi()["paths"]
    operations = [operation for path in paths.values() for operation in path.values()]
    headers = [
        {one["name"].lower() for one in operation.get("parameters", ()) if one["in"] == "header"}
        for operation in operations
    ]
    of_changes = [names for names in headers if "idempotency-key" in names]
    assert len(of_changes) >= 5
    assert set().union(*of_changes) == set(responses.HEADERS_NOT_IN_FINGERPRINT)
