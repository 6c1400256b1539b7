"""Reading options that are more than one word."""

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
    Read `NAME=VALUE` pairs for *provider*; numbers, true and false are read as JSON has them.

    :raises errors.ValidationError: for a pair without "=", or a secret, which would be kept in
        the shell's history and the database.
    """
    hints = typing.get_type_hints(registry.get_class(provider).Config)
    fields = {field.name for field in dataclasses.fields(registry.get_class(provider).Config)}
    config: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator:
            raise errors.ValidationError(f"{pair!r} is not NAME=VALUE", param="--set")
        if name in fields and hints[name] is Secret:
            raise errors.ValidationError(
                "a secret is set in the environment or the secrets directory", param=name
            )
        config[name] = text if hints.get(name) is str else _value(text)
    return config


def read_pairs(option: str, pairs: Sequence[str]) -> dict[str, str]:
    """
    Read `NAME=TEXT` pairs of *option*.

    :raises errors.ValidationError: for a pair without "=".
    """
    read = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not (separator and name):
            raise errors.ValidationError(f"{pair!r} is not NAME=TEXT", param=option)
        read[name] = text
    return read


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        return text


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is no number")
