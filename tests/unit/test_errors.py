"""The seven roots tell a caller what to do next; nothing else may."""

from __future__ import annotations

import pickle

import pytest

from bursar import errors

ROOTS = {
    errors.Invalid: ("invalid", 422),
    errors.Denied: ("denied", 403),
    errors.NotFound: ("not_found", 404),
    errors.Conflict: ("conflict", 409),
    errors.Declined: ("declined", 402),
    errors.Unavailable: ("unavailable", 503),
    errors.OutcomeUnknown: ("outcome_unknown", 502),
}


def test_there_are_seven_roots_and_no_eighth() -> None:
    assert set(errors.BursarError.__subclasses__()) == set(ROOTS)


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.__name__)
def test_each_root_has_its_code_and_status(root: type[errors.BursarError]) -> None:
    assert (root.code, root.status) == ROOTS[root]


def test_codes_and_statuses_of_the_roots_differ() -> None:
    assert len({code for code, _ in ROOTS.values()}) == 7
    assert len({status for _, status in ROOTS.values()}) == 7


def test_facts_are_kept_for_the_log() -> None:
    error = errors.Conflict("already captured", payment_id="pay_1", amount_minor=5)
    assert str(error) == "already captured"
    assert error.facts == {"payment_id": "pay_1", "amount_minor": 5}


def test_an_unavailable_thing_says_when_to_come_back() -> None:
    assert errors.ExternalAPIError("busy", after_seconds=3).after_seconds == 3
    assert errors.RetryableError("busy").after_seconds is None


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({}, "is wrong"),
        ({"param": "amount"}, "amount: is wrong"),
        ({"line": 7}, "line 7: is wrong"),
        ({"param": "amount", "line": 7}, "line 7, amount: is wrong"),
    ],
)
def test_a_validation_error_says_where(given: dict[str, object], shown: str) -> None:
    assert str(errors.ValidationError("is wrong", **given)) == shown  # type: ignore[arg-type]


def test_an_unknown_outcome_is_never_retryable() -> None:
    assert not issubclass(errors.OutcomeUnknown, errors.Unavailable)
    assert issubclass(errors.RetryableError, errors.Unavailable)
    assert issubclass(errors.ExternalAPIError, errors.Unavailable)


def test_an_error_survives_the_way_to_another_process() -> None:
    sent = errors.ValidationError("is wrong", param="amount", line=7, given="x")
    back = pickle.loads(pickle.dumps(sent))
    assert (str(back), back.param, back.line, back.facts) == (
        "line 7, amount: is wrong",
        "amount",
        7,
        {"given": "x"},
    )
