"""Parse `NAME=VALUE` options."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Sequence
from typing import Any

from bursar import errors
from bursar.providers import registry
from bursar.providers.interface import Secret


def read_settings(provider: str, pairs: Sequence[str]) -> dict[str, Any]:
    """
    Parse `NAME=VALUE` settings of *provider*; a value that is not text is parsed as JSON.

    :raises errors.ValidationError: for a pair without "=", or a secret, which would be stored in
        the shell's history and the database.
    """
    hints = typing.get_type_hints(registry.get_class(provider).Config)
    fields = {field.name for field in dataclasses.fields(registry.get_class(provider).Config)}
    config: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator:
            raise errors.ValidationError(f"{pair!r} must be NAME=VALUE", param="--set")
        if name in fields and hints[name] is Secret:
            raise errors.ValidationError(
                "must be set in the environment or the secrets directory: it is a secret",
                param=name,
            )
        config[name] = text if hints.get(name) is str else _parse_value(text)
    return config


def read_pairs(option: str, pairs: Sequence[str]) -> dict[str, str]:
    """
    Parse `NAME=TEXT` pairs of *option*.

    :raises errors.ValidationError: for a pair without "=".
    """
    values = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not (separator and name):
            raise errors.ValidationError(f"{pair!r} must be NAME=TEXT", param=option)
        values[name] = text
    return values


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_reject_constant)
    except ValueError:
        return text


def _reject_constant(text: str) -> Any:
    raise ValueError(f"{text} is not a number")
