"""Stripe's published documents as judges of what we send and of what the stand-in answers."""

from __future__ import annotations

import copy
import functools
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest


def folder() -> Path:
    """Where the documents lie; the test that asks is skipped where they do not."""
    real = os.environ.get("BURSAR_REAL_DATA", "")
    if not real:
        pytest.skip("BURSAR_REAL_DATA is not set: Stripe's published documents are not here")
    return Path(real) / "specs" / "stripe"


@functools.cache
def _document(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


@functools.cache
def _components(path: Path) -> Any:
    return _nullable(copy.deepcopy(_document(path)["components"]))


def _nullable(schema: Any) -> Any:
    """OpenAPI 3.0's `nullable` as JSON Schema says it."""
    if isinstance(schema, list):
        return [_nullable(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    told = {name: _nullable(value) for name, value in schema.items()}
    if told.pop("nullable", False) is True:
        return {"anyOf": [told, {"type": "null"}]}
    return told


@functools.cache
def _judge(path: Path, name: str) -> Any:
    schema = {"$ref": f"#/components/schemas/{name}", "components": _components(path)}
    return jsonschema_rs.validator_for(schema)


def faults_of_object(made: Mapping[str, Any], kind: str | None = None) -> list[str]:
    """What the published schema of its kind finds wrong with an answer."""
    path = folder() / "stripe.com.json"
    judge = _judge(path, kind or made["object"])
    return [f"{'/'.join(map(str, e.instance_path))}: {e.message}" for e in judge.iter_errors(made)]


def faults_of_request(method: str, path: str, told: Mapping[str, Any]) -> list[str]:
    """What the published operation finds wrong with a request's form or query."""
    document = _document(folder() / "stripe.com.json")
    for template, operations in document["paths"].items():
        pattern = re.sub(r"\{\w+\}", "[^/]+", template)
        if method.lower() in operations and re.fullmatch(pattern, path):
            break
    else:
        return [f"{method} {path} is in no published document"]
    operation = operations[method.lower()]
    if method == "GET":
        known = {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"}
        return [f"{name} is no parameter of {template}" for name in told.keys() - known]
    schema = operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
    judge = jsonschema_rs.validator_for(
        {**_nullable(schema), "components": _components(folder() / "stripe.com.json")}
    )
    return [
        f"{'/'.join(map(str, e.instance_path))}: {e.message}"
        for e in judge.iter_errors(_typed(told, schema))
    ]


def _typed(told: Any, schema: Mapping[str, Any]) -> Any:
    """A form's texts as the types that the schema wants there."""
    for choice in schema.get("anyOf", []):
        if (isinstance(told, dict)) == (choice.get("type") in {"object", "array"}):
            return _typed(told, choice)
    kind = schema.get("type")
    if isinstance(told, dict) and kind == "array":
        return [_typed(one, schema["items"]) for one in told.values()]
    if isinstance(told, dict):
        inner = schema.get("properties", {})
        return {name: _typed(one, inner.get(name, {})) for name, one in told.items()}
    if isinstance(told, list):
        return [_typed(one, schema.get("items", {})) for one in told]
    if kind == "integer":
        return int(told)
    return {"true": True, "false": False}[told] if kind == "boolean" else told


def samples() -> dict[str, dict[str, Any]]:
    """Stripe's own sample objects, by kind."""
    found: dict[str, dict[str, Any]] = _document(folder() / "fixtures3.json")["resources"]
    return found
