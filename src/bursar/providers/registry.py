"""
Providers by name: entry points of the group `bursar.providers`, including the built-in ones.

A provider is imported at first use, so a broken plug-in affects only its own accounts.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import types
import typing
from collections.abc import Mapping
from importlib import metadata
from typing import Any
from weakref import WeakValueDictionary

from bursar import errors, ids
from bursar.providers import mixins
from bursar.providers.interface import PaymentProvider, Secret

GROUP = "bursar.providers"

_METHODS = ("charge", "refund", "get_status")

_instances: WeakValueDictionary[tuple[str, str, str], PaymentProvider] = WeakValueDictionary()


class ProviderNotFound(errors.NotFound):
    """No installed package has a provider of this name."""

    code = "provider_not_found"


class ProviderLoadFailed(errors.Invalid):
    """The provider is installed but cannot be used."""

    code = "provider_load_failed"


def names() -> list[str]:
    """Return the names of all installed providers, sorted; imports none."""
    return sorted({point.name for point in metadata.entry_points(group=GROUP)})


def get_class(name: str) -> type[PaymentProvider]:
    """
    Import the provider *name*.

    :raises ProviderNotFound: if none is installed under that name.
    :raises ProviderLoadFailed: if it cannot be imported or does not meet the interface.
    """
    return _load_class(name, tuple(sys.path))


@functools.lru_cache(maxsize=64)
def _load_class(name: str, _search_path: tuple[str, ...]) -> type[PaymentProvider]:
    # Reading the entry points of all installed packages takes about 10 ms, several times a charge.
    # Failures are not cached.
    points = list(metadata.entry_points(group=GROUP, name=name))
    if not points:
        installed = ", ".join(names()) or "none"
        raise ProviderNotFound(f"no provider named {name!r} is installed; installed: {installed}")
    targets = sorted({point.value for point in points})
    if len(targets) > 1:
        raise ProviderLoadFailed(f"several packages have a provider {name!r}: {', '.join(targets)}")
    try:
        loaded = points[0].load()
    except Exception as error:  # a plug-in's module may raise anything
        reason = f"cannot be imported: {type(error).__name__}: {error}"
        raise ProviderLoadFailed(f"the provider {name!r} ({targets[0]}) {reason}") from error
    if defect := _defect(loaded):
        raise ProviderLoadFailed(f"the provider {name!r} ({targets[0]}) {defect}")
    return typing.cast(type[PaymentProvider], loaded)


def _defect(loaded: object) -> str:
    """Return why *loaded* is not a valid provider class; "" if it is."""
    if not (isinstance(loaded, type) and issubclass(loaded, PaymentProvider)):
        return "is not a subclass of PaymentProvider"
    for method in _METHODS:
        implementation = _implementation(loaded, method)
        if implementation is None:
            return f"has no method {method}"
        if not inspect.iscoroutinefunction(implementation):
            return f"has a method {method} that is not async"
    if not isinstance(getattr(loaded, "name", None), str):
        return "has no name"
    config = getattr(loaded, "Config", None)
    frozen = getattr(getattr(config, "__dataclass_params__", None), "frozen", False)
    if not (isinstance(config, type) and frozen and hasattr(config, "__slots__")):
        return "has no Config that is a frozen dataclass with slots"
    return ""


def _implementation(provider: type[PaymentProvider], method: str) -> Any:
    # Skips the mixins, whose methods only call the next class.
    for cls in provider.__mro__:
        if method in vars(cls) and cls not in mixins.WRAPPERS:
            method_function = vars(cls)[method]
            return (
                None if getattr(method_function, "__isabstractmethod__", False) else method_function
            )
    return None


def create_provider(provider_name: str, account: str, config: Mapping[str, Any]) -> PaymentProvider:
    """
    Return the provider of one account; the same instance while one with this config is in use.

    :raises ValidationError: if *config* does not fit, with the field's name as `param`;
        see `get_class` for the rest.
    """
    provider = get_class(provider_name)
    parsed = parse_config(provider, config)
    fields = dataclasses.fields(parsed)
    values = [(one.name, _comparable(getattr(parsed, one.name))) for one in fields]
    key = (provider_name, account, ids.digest(*values))
    instance = _instances.get(key)
    if instance is None:
        instance = _instances[key] = provider(parsed)
    return instance


def _comparable(value: object) -> object:
    if isinstance(value, Secret):
        return ids.digest("secret", value.reveal())
    return sorted(value.items()) if isinstance(value, Mapping) else value


def parse_config(provider: type[PaymentProvider], config: Mapping[str, Any]) -> Any:
    """
    Convert plain values to the provider's config; texts become `Secret` for secret fields.

    :raises ValidationError: if a field is unknown, missing or of the wrong type.
    """
    fields = {one.name: one for one in dataclasses.fields(provider.Config) if one.init}
    for name in config:
        if name not in fields:
            allowed = ", ".join(sorted(fields))
            raise errors.ValidationError(
                f"{provider.name} has no such setting; its settings: {allowed}", param=str(name)
            )
    missing = dataclasses.MISSING
    for name, one in fields.items():
        required = one.default is missing and one.default_factory is missing
        if required and name not in config:
            raise errors.ValidationError(f"{provider.name} requires this setting", param=name)
    hints = typing.get_type_hints(provider.Config)
    values = {name: _convert(name, value, hints[name]) for name, value in config.items()}
    try:
        return provider.Config(**values)
    except (TypeError, ValueError) as error:
        raise errors.ValidationError(f"{provider.name} rejects its settings: {error}") from error


def secret_fields(name: str) -> list[str]:
    """Return the names of the secret settings of provider *name*."""
    config = get_class(name).Config
    hints = typing.get_type_hints(config)
    return [one.name for one in dataclasses.fields(config) if hints[one.name] is Secret]


def _convert(name: str, value: Any, hint: Any) -> Any:
    """Convert *value* to type *hint*. :raises ValidationError: if the type does not match."""
    if hint is Secret:
        if isinstance(value, Secret):
            return value
        if isinstance(value, str):
            return Secret(value)
        # The message omits the value: it may be the secret in another type.
        raise errors.ValidationError(f"must be text, not {type(value).__name__}", param=name)
    if hint is float and type(value) is int:
        return float(value)
    expected = [one for one in _plain_types(hint) if one is not object]
    # isinstance() accepts a bool as int; a number setting does not.
    fits = any(isinstance(value, one) for one in expected)
    fits = fits and (type(value) is not bool or bool in expected)
    if expected and not fits:
        names = " or ".join(one.__name__ for one in expected)
        raise errors.ValidationError(f"must be {names}, not {type(value).__name__}", param=name)
    return types.MappingProxyType(dict(value)) if isinstance(value, Mapping) else value


def _plain_types(hint: Any) -> list[type]:
    """Return the classes that a value of type *hint* may have; none if that is unknown."""
    origin = typing.get_origin(hint)
    if origin in {typing.Union, types.UnionType}:
        return [plain for part in typing.get_args(hint) for plain in _plain_types(part)]
    plain = origin or hint
    return [plain] if isinstance(plain, type) else []
