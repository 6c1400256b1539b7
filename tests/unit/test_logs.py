"""One JSON line an event; no secret, no card number, and never an error from logging itself."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from pydantic import SecretStr

from bursar import card_numbers, errors, logs
from bursar.money import Money
from tests.unit.test_card_numbers import CARDS, NEAR_MISSES, WRITTEN

log = logs.get("tests")


class Lines(io.BytesIO):
    """What was logged."""

    def all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]

    def one(self) -> dict[str, Any]:
        (line,) = self.all()
        return line


@pytest.fixture
def lines() -> Iterator[Lines]:
    stream = Lines()
    logs.configure(level="INFO", stream=stream)
    yield stream
    logs.configure()


def test_an_event_is_one_line_with_its_facts(lines: Lines) -> None:
    before = datetime.now(UTC)
    log.info("payment charged", payment_id="pay_1", amount=Money(1234, "KWD"))
    line = lines.one()
    assert before <= datetime.fromisoformat(line.pop("timestamp")) <= datetime.now(UTC)
    assert line == {
        "level": "info",
        "event": "payment charged",
        "logger": "tests",
        "payment_id": "pay_1",
        "amount": {"amount_minor": 1234, "currency": "KWD"},
    }
    assert lines.getvalue().endswith(b"}\n")


def test_a_time_is_rfc_3339_in_utc(lines: Lines) -> None:
    log.info("x")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", lines.one()["timestamp"])


def test_every_level_has_its_name(lines: Lines) -> None:
    logs.configure(level="DEBUG", stream=lines)
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(log, level)("x")
    assert [line["level"] for line in lines.all()] == [
        "debug",
        "info",
        "warning",
        "error",
        "critical",
    ]


def test_less_than_the_level_is_not_written(lines: Lines) -> None:
    logs.configure(level="warning", stream=lines)
    log.info("quiet")
    logging.getLogger("django").info("quiet")
    log.warning("loud")
    assert [line["event"] for line in lines.all()] == ["loud"]


def test_the_last_configuration_holds_for_loggers_in_use() -> None:
    first, second = Lines(), Lines()
    logs.configure(stream=first)
    log.info("one")
    logs.configure(stream=second)
    logs.configure(stream=second)
    log.info("two")
    logging.getLogger("django").warning("three")
    logs.configure()
    assert [line["event"] for line in first.all()] == ["one"]
    assert [line["event"] for line in second.all()] == ["two", "three"]


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(errors.Invalid, match="invalid log level 'LOUD'"):
        logs.configure(level="LOUD")


def test_what_is_bound_is_in_every_line_inside(lines: Lines) -> None:
    with logs.bound_contextvars(request_id="req_1", operation="orders.place"):
        with logs.bound_contextvars(actor="key_7", operation="payments.charge"):
            log.info("inner")
        log.info("outer")
    log.info("after")
    named = ("request_id", "operation", "actor")
    assert [tuple(line.get(name) for name in named) for line in lines.all()] == [
        ("req_1", "payments.charge", "key_7"),
        ("req_1", "orders.place", None),
        (None, None, None),
    ]


def test_tasks_side_by_side_keep_their_own(lines: Lines) -> None:
    async def handle(number: int) -> None:
        with logs.bound_contextvars(request_id=f"req_{number}"):
            await asyncio.sleep(0)
            log.info("handled", number=number)

    async def handle_all() -> None:
        await asyncio.gather(*[handle(number) for number in range(5)])

    asyncio.run(handle_all())
    assert {(line["number"], line["request_id"]) for line in lines.all()} == {
        (number, f"req_{number}") for number in range(5)
    }


def test_an_exception_is_data_without_locals(lines: Lines) -> None:
    def fail() -> None:
        hidden = "a local value"
        raise errors.Conflict(f"already {len(hidden)}", payment_id="pay_1", token="t")

    try:
        try:
            fail()
        except errors.Conflict as error:
            raise ValueError("outer") from error
    except ValueError:
        log.exception("broken")
    line = lines.one()
    outer, inner = line["exception"]
    assert (line["level"], outer["exc_type"], inner["exc_type"]) == (
        "error",
        "ValueError",
        "Conflict",
    )
    assert [frame["name"] for frame in inner["frames"]][-1] == "fail"
    assert set(inner["frames"][0]) == {"filename", "lineno", "name"}
    assert b"a local value" not in lines.getvalue()


def test_an_error_of_ours_brings_its_code_and_facts(lines: Lines) -> None:
    log.error("broken", exc_info=errors.Conflict("no", payment_id="pay_1", token="t"))
    line = lines.one()
    assert (line["code"], line["facts"]) == ("conflict", {"payment_id": "pay_1", "token": "***"})


def test_an_exception_that_is_not_there_is_no_trouble(lines: Lines) -> None:
    log.exception("nothing happened")
    assert "exception" not in lines.one()


SECRET_NAMES = [
    *("password", "db_password", "passwd", "secret", "client_secret", "clientSecret", "token"),
    *("access_token", "accessToken", "X-Auth-Token", "api_key", "apiKey", "API-KEY", "apikey"),
    *("authorization", "Authorization", "cookie", "Set-Cookie", "signature", "Stripe-Signature"),
    *("card", "card_number", "cvc", "cvv", "pan", "private_key", "signing_key", "secret_key"),
]
OPEN_NAMES = [
    *("key", "idempotency_key", "primary_key", "discard", "cardinality", "company", "keys"),
    *("reference", "author", "account", "passed", "design"),
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_secrets_are_masked_by_the_name_of_their_key(lines: Lines, name: str) -> None:
    log.info("x", headers={name: "hush"}, deep=[{"a": ({name: {"b": "hush"}},)}], **{name: "hush"})
    assert b"hush" not in lines.getvalue()
    assert lines.one()[name] == "***"


@pytest.mark.parametrize("name", OPEN_NAMES)
def test_other_keys_are_shown(lines: Lines, name: str) -> None:
    log.info("x", **{name: "open"})
    assert lines.one()[name] == "open"


class Secret:
    def __repr__(self) -> str:
        return "hush"


class ApiSecret(Secret):
    pass


@dataclass
class Config:
    name: str
    password: str
    key: Secret


@pytest.mark.parametrize(
    "value",
    [
        Secret(),
        ApiSecret(),
        SecretStr("hush"),
        {"a": [Secret()]},
        Config("n", "hush", Secret()),
        b"hush",
        "postgresql://bursar:hush@db/books",
        "GET /hook?token=hush&x=1",
        "Authorization: Bearer hushhushhush",
    ],
)
def test_secrets_are_masked_by_type_and_in_texts(lines: Lines, value: object) -> None:
    log.info(f"x {value if isinstance(value, str) else ''}", value=value)
    assert b"hush" not in lines.getvalue()


@pytest.mark.parametrize("text", CARDS + WRITTEN)
def test_card_numbers_are_masked(lines: Lines, text: str) -> None:
    log.info(f"paid with {text}", given=text, **{f"n {text}": 1})
    log.error("x", exc_info=ValueError(text))
    shown = lines.getvalue().decode()
    assert not card_numbers.contains_card_number(re.sub(r'"timestamp":"[^"]*"', "", shown))
    assert logs.CARD_MASK in shown


@pytest.mark.parametrize("text", NEAR_MISSES)
def test_what_only_resembles_a_card_number_is_left_alone(lines: Lines, text: str) -> None:
    log.info("x", given=text)
    assert lines.one()["given"] == text


def test_a_card_number_as_a_number_is_masked(lines: Lines) -> None:
    log.info("x", given=4242424242424242, amount_minor=4242424242424241)
    assert (lines.one()["given"], lines.one()["amount_minor"]) == (
        "[card number]",
        4242424242424241,
    )


class Colour(StrEnum):
    RED = "red"


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class BrokenError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        (True, True),
        (1, 1),
        (1.5, 1.5),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
        (10**30, "<integer of 100 bits>"),
        (1 << 20_000, "<integer of 20001 bits>"),
        (Decimal("1.50"), "1.50"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (Colour.RED, "red"),
        (b"abc", "<3 bytes>"),
        ({1: 2, None: 3}, {"1": 2, "None": 3}),
        ((1, {2}), [1, [2]]),
        ("\ud800", "\\ud800"),
        ("a\nb", "a\nb"),
        (KeyError("k"), "KeyError: 'k'"),
        (Broken(), "<Broken: RuntimeError during serialization>"),
        (BrokenError(), "<BrokenError: RuntimeError during serialization>"),
        ([Broken()], ["<Broken: RuntimeError during serialization>"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_value_is_shown_somehow(lines: Lines, value: object, shown: object) -> None:
    log.info("x", value=value)
    assert lines.one()["value"] == shown


def test_what_is_too_much_is_cut(lines: Lines) -> None:
    circle: list[object] = []
    circle.append(circle)
    log.info("x", circle=circle, long="a" * 10_000, many=list(range(150)), keys=dict.fromkeys("ab"))
    line = lines.one()
    assert "nested too deep" in json.dumps(line["circle"])
    assert line["long"] == "a" * logs.TEXT_MAX + "... (10000 characters)"
    assert line["many"] == [*range(100), "... 50 more"]
    assert line["keys"] == {"a": None, "b": None}


def test_names_that_logging_uses_itself_are_no_trouble(lines: Lines) -> None:
    log.info("x", event="e", level="l", timestamp="t", method_name="m", self="s", logger="g")
    assert (lines.one()["event"], lines.one()["method_name"]) == ("x", "m")


def test_an_exception_that_cannot_be_shown_is_no_trouble(lines: Lines) -> None:
    log.error("x", exc_info=BrokenError())
    assert lines.one()["exception"][0]["exc_type"] == "BrokenError"


def test_a_closed_stream_is_no_trouble(lines: Lines) -> None:
    lines.close()
    log.error("lost")


@pytest.mark.parametrize(
    "name", ["django.request", "uvicorn.error", "uvicorn.access", "asyncio", "aiohttp.server"]
)
def test_the_standard_librarys_loggers_flow_in(lines: Lines, name: str) -> None:
    with logs.bound_contextvars(request_id="req_1"):
        logging.getLogger(name).warning("paid %s with %s", "pay_1", "4242424242424242")
    line = lines.one()
    assert (line["event"], line["logger"], line["level"], line["request_id"]) == (
        "paid pay_1 with [card number]",
        name,
        "warning",
        "req_1",
    )


def test_handlers_a_library_brought_write_no_second_line(lines: Lines) -> None:
    brought = Lines()
    logger = logging.getLogger("uvicorn.error")
    text = io.TextIOWrapper(brought)
    logger.addHandler(logging.StreamHandler(text))
    logger.propagate = False
    logs.configure(stream=lines)
    logger.warning("x")
    text.flush()
    assert (len(lines.all()), brought.getvalue()) == (1, b"")


def test_a_record_with_wrong_arguments_is_still_written(lines: Lines) -> None:
    # Not through the logger: pytest's own handler would raise.
    record = logging.LogRecord("django", logging.WARNING, "", 1, "%s and %s", ("one",), None)
    logs.StandardHandler().handle(record)
    assert (lines.one()["event"], lines.one()["unformatted"]) == ("%s and %s", "TypeError")


def test_a_records_exception_is_data(lines: Lines) -> None:
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("django.request").exception("broken")
    assert lines.one()["exception"][0]["exc_value"] == "no"


def test_levels_between_ours_are_rounded_down(lines: Lines) -> None:
    logging.getLogger("x").log(35, "between")
    assert lines.one()["level"] == "warning"
