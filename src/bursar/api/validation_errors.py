"""Validation errors of requests: one sentence each that names the field and what is expected."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fastapi.exceptions import RequestValidationError
from starlette.requests import Request
from starlette.responses import Response

from bursar import errors
from bursar.api import openapi, problem_details

#: More are not listed in one response.
ERRORS_MAX: Final = 20


async def handle_validation_error(request: Request, error: Exception) -> Response:
    """Exception handler for requests that do not match their schema; lists all errors, no values."""
    assert isinstance(error, RequestValidationError)
    field_errors = []
    for each in error.errors()[:ERRORS_MAX]:
        param = format_place(each["loc"])
        field_errors.append({"param": param, "detail": f"{param} {_expectation(request, each)}"})
    first = field_errors[0]
    body = problem_details.to_json(
        status=422,
        code=errors.ValidationError.code,
        detail=first["detail"],
        param=first["param"],
        field_errors=field_errors,
    )
    return Response(body, 422, media_type=problem_details.MEDIA_TYPE)


def format_place(place: Sequence[str | int]) -> str:
    """Format `("body", "lines", 0, "sku")` as `lines[0].sku`."""
    path = ""
    for part in place[1:] if len(place) > 1 else place:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


#: What is expected, by pydantic's error type, from the values of its context.
_SENTENCES: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "missing": lambda _: "is required",
    "extra_forbidden": lambda _: "is not a known field",
    "string_type": lambda _: "must be a string",
    "string_too_short": lambda ctx: f"must have at least {_count(ctx['min_length'], 'character')}",
    "string_too_long": lambda ctx: f"must have at most {_count(ctx['max_length'], 'character')}",
    "string_pattern_mismatch": lambda ctx: f"must match {ctx['pattern']}",
    "int_type": lambda _: "must be an integer",
    "int_parsing": lambda _: "must be an integer",
    "int_from_float": lambda _: "must be an integer",
    "bool_type": lambda _: "must be true or false",
    "bool_parsing": lambda _: "must be true or false",
    "greater_than_equal": lambda ctx: f"must be at least {ctx['ge']}",
    "less_than_equal": lambda ctx: f"must be at most {ctx['le']}",
    "too_short": lambda ctx: f"must have at least {_count(ctx['min_length'], 'item')}",
    "too_long": lambda ctx: f"must have at most {_count(ctx['max_length'], 'item')}",
    "literal_error": lambda ctx: f"must be {ctx['expected']}",
    "enum": lambda ctx: f"must be {ctx['expected']}",
}
_OBJECT_ERRORS: Final = {"model_type", "model_attributes_type", "dict_type"}


def _expectation(request: Request, error: Mapping[str, Any]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    if kind in _SENTENCES:
        return _SENTENCES[kind](context)
    if kind in _OBJECT_ERRORS:
        return f"must be an object{_example(request, error['loc'])}"
    if kind == "list_type":
        return f"must be an array{_example(request, error['loc'])}"
    return re.sub("^Input should be", "must be", str(error["msg"]))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _example(request: Request, place: Sequence[str | int]) -> str:
    """Return an example of the value at *place* as JSON after a blank; empty if there is none."""
    route = request.scope.get("route")
    schema, component_schemas = openapi.schema_at(
        request.app, path=getattr(route, "path", ""), method=request.method, place=place[1:]
    )
    if schema is None:
        return ""
    example = openapi.example_of(schema, component_schemas)
    return f" {json.dumps(example, ensure_ascii=False)}" if example else ""
