"""OpenAPI 3.1: what each operation declares, and a description with an example of every body."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from fastapi import Depends, FastAPI
from pydantic import BaseModel

from bursar import errors, settings
from bursar.access.idempotency import KEY_LETTERS_MAX
from bursar.api import problem_details, schemas
from bursar.api.middleware.auth import RequireScope
from bursar.api.pricing_schemas import RequestModel, ResponseModel
from bursar.decorators import Forbidden, Unauthenticated

DESCRIPTION: Final = """
Amounts are `{"amount": 1999, "currency": "EUR"}` in minor units (cents for EUR, whole yen for JPY).

Send `Authorization: Bearer bk_test_...`. Requests that change something need an `Idempotency-Key`: the same
request with the same key has one effect and returns the same response.

Errors are `application/problem+json` (RFC 9457); handle them by `code`. Lists are paginated: pass
`next_cursor` as `cursor`. Times are RFC 3339 in UTC.
"""
TAGS: Final = [
    {"name": "quotes", "description": "Price a basket without an order."},
    {"name": "orders", "description": "Place orders and read whether they are paid."},
    {"name": "payments", "description": "Collect, capture, cancel and refund."},
    {"name": "refunds", "description": "Read refunds. Create them at their payment."},
    {"name": "reviews", "description": "Cases that need a manual decision."},
    {"name": "provider accounts", "description": "Configured accounts and their capabilities."},
    {"name": "facts", "description": "What providers reported, as it was received."},
    {"name": "webhooks", "description": "Endpoints for the providers' webhooks."},
    {"name": "dashboard", "description": "Monitors and their history."},
]

Schema = dict[str, Any]

#: Errors that every operation of the API may return.
_COMMON: Final = (
    problem_details.InvalidJson,
    Unauthenticated,
    Forbidden,
    errors.ValidationError,
    problem_details.RateLimited,
    errors.Unavailable,
)
_REF: Final = "#/components/schemas/"
_PROBLEM: Final = "ProblemDetails"
_REQUEST_ID: Final = "req_06f1x3kq8tq9x2d4y7v0m5w1zc"


def operation(
    scope: str,
    response_model: type[Any],
    *specific_errors: type[errors.BursarError],
    status: int = 200,
    is_idempotent: bool = False,
) -> dict[str, Any]:
    """
    Return the route arguments of an operation that requires *scope*.

    *specific_errors* are those besides the common ones. With *is_idempotent* the operation needs
    an `Idempotency-Key`.
    """
    requirement = RequireScope(scope)
    declared = [*_COMMON, *specific_errors]
    if is_idempotent:
        declared += [errors.IdempotencyKeyMissing, errors.IdempotencyKeyReused]
    success: dict[str, Any] = {
        "model": response_model,
        "description": summary_of(response_model),
    }
    if is_idempotent:
        success["headers"] = {
            "Idempotent-Replayed": {
                "description": "`true` if this is the stored response to an earlier request.",
                "schema": {"type": "string"},
            }
        }
    return {
        "dependencies": [Depends(requirement.check)],
        "status_code": status,
        "response_model": None,
        "responses": error_responses(declared) | {status: success},
        "openapi_extra": {"security": [{"apiKey": []}], "x-required-scope": scope},
    }


def error_responses(
    declared: Iterable[type[errors.BursarError]],
) -> dict[int | str, dict[str, Any]]:
    """
    Describe errors by status, each with an example; the description lists their codes.

    :raises AssertionError: for an error without an HTTP status.
    """
    by_status: dict[int, list[type[errors.BursarError]]] = {}
    for error in declared:
        assert error.status is not None, f"{error.code} has no HTTP status"
        codes = by_status.setdefault(error.status, [])
        if error not in codes:
            codes.append(error)
    return {
        status: {
            "description": ", ".join(error.code for error in classes),
            "content": {
                problem_details.MEDIA_TYPE: {
                    "schema": {"$ref": _REF + _PROBLEM},
                    "examples": {error.code: _error_example(error) for error in classes},
                }
            },
        }
        for status, classes in sorted(by_status.items())
    }


def _error_example(error: type[errors.BursarError]) -> dict[str, Any]:
    assert error.status is not None
    detail = summary_of(error)
    value = problem_details.to_dict(
        status=error.status,
        code=error.code,
        detail=detail.removesuffix("."),
        request_id=_REQUEST_ID,
    )
    return {"summary": detail, "value": value}


def summary_of(documented: type[Any]) -> str:
    """Return the first line of a class's docstring."""
    return (documented.__doc__ or "").strip().splitlines()[0]


def describe(app: FastAPI) -> Schema:
    """Return the cached OpenAPI description of *app*."""
    if app.openapi_schema is None:
        description = FastAPI.openapi(app)
        components = description.setdefault("components", {})
        components["securitySchemes"] = {
            "apiKey": {
                "type": "http",
                "scheme": "bearer",
                "description": f"`bk_{settings.current.mode}_...`; created by `bursar api-keys add`.",
            }
        }
        component_schemas = components.setdefault("schemas", {})
        problem = schemas.ProblemDetails.model_json_schema(ref_template=_REF + "{model}")
        component_schemas.update(problem.pop("$defs", {}))
        component_schemas[_PROBLEM] = problem
        for unused in ("HTTPValidationError", "ValidationError"):
            component_schemas.pop(unused, None)
        _restore_nulls(component_schemas)
        for path in description["paths"].values():
            for each in path.values():
                _complete_operation(each, component_schemas)
        app.openapi_schema = description
    return app.openapi_schema


def _restore_nulls(component_schemas: Mapping[str, Schema]) -> None:
    """Set the examples of components again: FastAPI drops their members that are null."""
    models: list[type[BaseModel]] = [RequestModel, ResponseModel]
    while models:
        model = models.pop()
        models += model.__subclasses__()
        extra = model.model_config.get("json_schema_extra")
        if isinstance(extra, dict) and model.__name__ in component_schemas:
            component_schemas[model.__name__] |= extra


def _complete_operation(each: Schema, component_schemas: Mapping[str, Schema]) -> None:
    """Add to one operation what FastAPI leaves out: headers, examples, the limit of a body."""
    for parameter in each.get("parameters", ()):
        _complete_header(parameter)
    contents = [response.get("content", {}) for response in each["responses"].values()]
    if "requestBody" in each:
        each["responses"] |= {
            str(status): response
            for status, response in error_responses([errors.ContentTooLarge]).items()
        }
        contents.append(each["requestBody"]["content"])
    for content in contents:
        media = content.get("application/json")
        if media is not None:
            media["example"] = example_of(media["schema"], component_schemas)


def _complete_header(parameter: Schema) -> None:
    """A header is never null, and the idempotency key is required (400, which FastAPI cannot say)."""
    if parameter["in"] != "header":
        return
    parameter["schema"] = {"type": "string"}
    if parameter["name"] == "Idempotency-Key":
        parameter["required"] = True
        parameter["schema"] |= {
            "minLength": 1,
            "maxLength": KEY_LETTERS_MAX,
            "pattern": "^[!-~]+$",
        }


# --- Examples -----------------------------------------------------------------------------------

_BY_TYPE: Final[Mapping[str, Any]] = {
    "string": "",
    "integer": 1,
    "number": 1.5,
    "boolean": False,
    "null": None,
}


def example_of(schema: Schema, component_schemas: Mapping[str, Schema]) -> Any:
    """
    Return an example that is valid against *schema*.

    Its own `examples` come first; else it is composed of those of its properties. Optional
    properties without an example are left out.
    """
    schema = resolve(schema, component_schemas)
    for keyword in ("examples", "enum", "anyOf"):
        if options := schema.get(keyword):
            return example_of(options[0], component_schemas) if keyword == "anyOf" else options[0]
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type")
    if kind == "array":
        return [example_of(schema["items"], component_schemas)] if "items" in schema else []
    if kind == "object":
        required = schema.get("required", ())
        return {
            name: example_of(each, component_schemas)
            for name, each in schema.get("properties", {}).items()
            if name in required or "examples" in each
        }
    if schema.get("format") == "date-time":
        return "2026-12-01T14:05:00Z"
    return _BY_TYPE.get(str(kind))


def resolve(schema: Schema, component_schemas: Mapping[str, Schema]) -> Schema:
    """Follow `$ref`, and the only alternative besides null."""
    if "$ref" in schema:
        return resolve(component_schemas[schema["$ref"].removeprefix(_REF)], component_schemas)
    options = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if len(options) == 1 and "examples" not in schema:
        return resolve(options[0], component_schemas)
    return schema


def schema_at(
    app: FastAPI, *, path: str, method: str, place: Sequence[str | int]
) -> tuple[Schema | None, Mapping[str, Schema]]:
    """
    Return the schema of one place in a request body, such as `("lines", 0, "sku")`.

    None if the operation or the place is not described. Also returns the component schemas.
    """
    description = describe(app)
    component_schemas: Mapping[str, Schema] = description["components"]["schemas"]
    operation_ = description["paths"].get(path, {}).get(method.lower(), {})
    content = operation_.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema")
    for step in place:
        if schema is None:
            break
        schema = resolve(schema, component_schemas)
        if isinstance(step, int):
            schema = schema.get("items")
        else:
            schema = schema.get("properties", {}).get(step)
    return schema, component_schemas
