"""
Structured logs: one JSON line per event, without secrets.

Every line has `timestamp` (UTC, RFC 3339), `level`, `event` and `logger`; `request_id`, `operation`
and `actor` if set by `bound_contextvars`; `exception` as structured data if there is one. Secrets
are masked by key name and by type, card numbers anywhere. Logging never raises: a value that cannot
be serialized is replaced by a note.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import re
import sys
from collections.abc import Iterator, Mapping, Set
from contextvars import ContextVar
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from itertools import islice
from types import MappingProxyType
from typing import Any, BinaryIO, Final

import orjson
from structlog import tracebacks

from bursar import card_numbers, errors

MASK: Final = "***"
CARD_MASK: Final = "[card number]"

#: Limits of one line: nesting depth, entries per container, characters per text.
DEPTH_MAX, ENTRIES_MAX, TEXT_MAX = 10, 100, 8_192

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

# --- Masking ------------------------------------------------------------------------------------

_SECRET_TYPES = frozenset({"Secret", "SecretStr", "SecretBytes"})
_SECRET_WORDS = frozenset(
    "password passwd passphrase pwd secret secrets token tokens authorization cookie cookies "
    "credential credentials signature card pan cvc cvv csc apikey csrftoken sessionid".split()
)
_SECRET_KEYS = frozenset({"api", "private", "signing", "access", "encryption", "webhook"})

_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_SECRET_IN_TEXT = re.compile(
    r"(?i)(://[^/\s:@]*:)[^/\s@]+(?=@)"
    r"|((?:password|passwd|secret|token|api_?key|signature|cvc|cvv)=)[^&\s,;]+"
    r"|((?:bearer|basic)\s+)[a-z0-9._~+/=-]{8,}"
)


@functools.lru_cache(maxsize=1024)
def _is_secret_name(name: str) -> bool:
    words = [word.lower() for word in _WORDS.findall(name)]
    if not _SECRET_WORDS.isdisjoint(words):
        return True
    return any(word == "key" and words[i - 1] in _SECRET_KEYS for i, word in enumerate(words) if i)


def _mask_text(text: str) -> str:
    """Return *text* cut to `TEXT_MAX`, with card numbers and secrets masked."""
    if (
        len(text) < card_numbers.DIGITS_MIN
        and text.isascii()
        and "=" not in text
        and ":" not in text
    ):
        return text  # too short for a card number or a secret, like most names and codes
    if len(text) > TEXT_MAX:
        text = f"{text[:TEXT_MAX]}... ({len(text)} characters)"
    if not text.isascii():  # a lone surrogate cannot be written as UTF-8
        text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    text = card_numbers.mask_card_numbers(text, CARD_MASK)
    if "=" in text or "://" in text or "asic" in text or "earer" in text:
        text = _SECRET_IN_TEXT.sub(lambda match: f"{match[match.lastindex or 0]}{MASK}", text)
    return text


# --- Serialization ------------------------------------------------------------------------------


def _to_json(value: object, depth: int = 0) -> Any:
    """Return *value* as JSON values, masked and bounded; never raises."""
    if value is None or value is True or value is False:
        return value
    if type(value) is str:  # most values are plain texts and numbers: the fast path
        return _mask_text(value)
    if type(value) is int:
        return _integer(value)
    if type(value) is float and value - value == 0:
        return value
    try:
        return _serialize(value, depth)
    except Exception as error:  # noqa: BLE001  (a value's own methods may raise anything)
        return f"<{type(value).__name__}: {type(error).__name__} during serialization>"


def _serialize(value: Any, depth: int) -> Any:
    if any(parent.__name__ in _SECRET_TYPES for parent in type(value).__mro__):
        return MASK
    if isinstance(value, Enum):
        return _to_json(value.value, depth)
    if isinstance(value, str):
        return _mask_text(value)
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float | Decimal):
        return value if isinstance(value, float) and value - value == 0 else str(value)
    if isinstance(value, Mapping | list | tuple | Set) or _is_record(value):
        return _contents(value, depth + 1)
    return _mask_text(_text_of(value))


def _integer(value: int) -> int | str:
    if not -(2**63) <= value < 2**63:
        return f"<integer of {value.bit_length()} bits>"
    return (
        CARD_MASK
        if value >= 10**12 and card_numbers.contains_card_number(str(value))
        else int(value)
    )


def _is_record(value: object) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _contents(value: Any, depth: int) -> Any:
    if depth > DEPTH_MAX:
        return f"<{type(value).__name__} nested too deep>"
    if _is_record(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return _pairs(value, depth)
    rest = len(value) - ENTRIES_MAX
    return [_to_json(entry, depth) for entry in islice(value, ENTRIES_MAX)] + (
        [f"... {rest} more"] if rest > 0 else []
    )


def _pairs(value: Mapping[Any, object], depth: int) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for key, entry in islice(value.items(), ENTRIES_MAX):
        name = _text_name(key) if type(key) is str else _name(key)
        pairs[name] = MASK if _is_secret_name(name) else _to_json(entry, depth)
    rest = len(value) - ENTRIES_MAX
    return pairs | ({"...": f"{rest} more"} if rest > 0 else {})


@functools.lru_cache(maxsize=1024)  # the same few names in every line
def _text_name(key: str) -> str:
    return _mask_text(key)


def _name(key: object) -> str:
    return str(_to_json(key, DEPTH_MAX))


def _text_of(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"  # bodies and keys are never logged
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    return repr(value)


# --- Events -------------------------------------------------------------------------------------

_exception_as_data = tracebacks.ExceptionDictTransformer(
    show_locals=False, use_rich=False, max_frames=50
)


def _with_exception(facts: dict[str, object]) -> dict[str, object]:
    """Replace `exc_info` by the exception as structured data; add a BursarError's code and facts."""
    exc_info = facts.pop("exc_info")
    error = exc_info if isinstance(exc_info, BaseException) else sys.exc_info()[1]
    if isinstance(exc_info, tuple):
        error = exc_info[1]
    if not exc_info or error is None:
        return facts
    facts["exception"] = _frames(error)
    if isinstance(error, errors.BursarError):
        facts.setdefault("code", error.code)
        facts["facts"] = error.facts
    return facts


def _frames(error: BaseException) -> object:
    try:
        return _exception_as_data((type(error), error, error.__traceback__))
    except Exception as failure:  # noqa: BLE001  (an exception's own __str__ may raise anything)
        return [{"exc_type": type(error).__name__, "exc_value": f"<{type(failure).__name__}>"}]


def _line(level: str, event: str, logger: str, facts: dict[str, object]) -> bytes:
    try:
        facts = {**_bound.get(), **facts}
        if "exc_info" in facts:
            facts = _with_exception(facts)
        line = _pairs(facts, 0)
        line |= {"event": _mask_text(event), "level": level, "timestamp": datetime.now(UTC)}
        if logger:
            line["logger"] = logger
        return orjson.dumps(line, option=orjson.OPT_UTC_Z)
    except Exception as failure:  # noqa: BLE001  (a lost log line must not fail a payment)
        note = {"level": "error", "event": "log_line_failed", "reason": type(failure).__name__}
        return orjson.dumps(note)


class _Output:
    """Destination of log lines; one per process, so that `configure` applies to all loggers."""

    def __init__(self) -> None:
        self.stream: BinaryIO | None = None
        self.level = _LEVELS["info"]

    def write(self, line: bytes) -> None:
        """Write and flush one line; on a closed or full stream it is dropped silently."""
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream = self.stream or sys.stderr.buffer
            stream.write(line + b"\n")
            stream.flush()


_output = _Output()


class Logger:
    """Writes events: a constant *event* name such as "outcome_unknown", and *facts* by keyword."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def debug(self, event: str, /, **facts: object) -> None:
        """Log details for debugging."""
        self._emit("debug", event, facts)

    def info(self, event: str, /, **facts: object) -> None:
        """Log a normal event."""
        self._emit("info", event, facts)

    def warning(self, event: str, /, **facts: object) -> None:
        """Log a condition that should be looked at."""
        self._emit("warning", event, facts)

    def error(self, event: str, /, **facts: object) -> None:
        """Log an error that needs attention."""
        self._emit("error", event, facts)

    def critical(self, event: str, /, **facts: object) -> None:
        """Log a failure after which the process cannot continue."""
        self._emit("critical", event, facts)

    def exception(self, event: str, /, **facts: object) -> None:
        """Log an error with the exception being handled."""
        self._emit("error", event, {"exc_info": True, **facts})

    def _emit(self, level: str, event: str, facts: dict[str, object]) -> None:
        if _LEVELS[level] >= _output.level:
            _output.write(_line(level, event, self._name, facts))


def get(name: str) -> Logger:
    """Return the logger of the module *name*; cheap, usable before `configure`."""
    return Logger(name)


def enabled(level: str) -> bool:
    """Whether lines of *level* (such as "info") are written."""
    return _LEVELS[level] >= _output.level


_bound: ContextVar[Mapping[str, object]] = ContextVar("bursar_log", default=MappingProxyType({}))


@contextlib.contextmanager
def bound_contextvars(
    *, request_id: str | None = None, operation: str | None = None, actor: str | None = None
) -> Iterator[None]:
    """
    Add values to every line logged inside, in this task or thread and those it starts.

    *request_id* correlates lines, *operation* names the operation, *actor* its caller.
    """
    named = {"request_id": request_id, "operation": operation, "actor": actor}
    token = _bound.set({**_bound.get(), **{k: v for k, v in named.items() if v is not None}})
    try:
        yield
    finally:
        _bound.reset(token)


def bound_values() -> Mapping[str, object]:
    """Return the values set by `bound_contextvars`: `request_id`, `operation` and `actor`, if set."""
    return _bound.get()


# --- The standard library's loggers -------------------------------------------------------------

#: Loggers with their own handlers, which would write every line twice.
_REROUTED_LOGGERS = (
    "django",
    "django.server",
    "uvicorn",
    "uvicorn.access",
    "uvicorn.error",
    "asyncio",
)


class StandardHandler(logging.Handler):
    """Writes records of `logging` (Django, uvicorn, aiohttp, asyncio) to the same output."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write *record* as one line; arguments that do not match its format are dropped."""
        facts: dict[str, object] = {}
        try:
            message = record.getMessage()
        except Exception as error:  # noqa: BLE001  (arguments' own methods may raise anything)
            message, facts["unformatted"] = str(record.msg), type(error).__name__
        if record.exc_info:
            facts["exc_info"] = record.exc_info
        level = _level_of(record.levelno)
        if enabled(level):
            _output.write(_line(level, message, record.name, facts))


def _level_of(number: int) -> str:
    reached = [name for name, floor in _LEVELS.items() if number >= floor]
    return reached[-1] if reached else "debug"


def configure(*, level: str = "INFO", stream: BinaryIO | None = None) -> None:
    """
    Send every line of *level* (DEBUG, INFO, WARNING, ERROR, CRITICAL) or above to *stream*.

    Without *stream* lines go to standard error. May be called repeatedly; the last call applies to
    all loggers, including existing ones. Start uvicorn with `log_config=None`.

    :raises errors.Invalid: if the level is invalid.
    """
    if level.lower() not in _LEVELS:
        raise errors.Invalid(f"invalid log level {level!r}; valid: {', '.join(_LEVELS)}")
    _output.level, _output.stream = _LEVELS[level.lower()], stream
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if not isinstance(h, StandardHandler)]
    root.addHandler(StandardHandler())
    root.setLevel(_output.level)
    for name in _REROUTED_LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
