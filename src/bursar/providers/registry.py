"""
Providers by name: entry points of the group `bursar.providers`, the built-in ones like all others.

Nothing is imported before it is asked for, so a broken plug-in harms only who uses it.
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
    """No installed package offers a provider of this name."""

    code = "provider_not_found"


class ProviderLoadError(errors.Invalid):
    """An installed package offers the provider, and it cannot be used."""

    code = "provider_load_failed"


def names() -> list[str]:
    """The names of all installed providers, sorted; none is imported."""
    return sorted({point.name for point in metadata.entry_points(group=GROUP)})


def get_class(name: str) -> type[PaymentProvider]:
    """
    Import the provider *name*.

    :raises UnknownProvider: if none is installed under that name.
    :raises BrokenProvider: if it cannot be imported, or lacks what every provider has.
    """
    return _load_class(name, tuple(sys.path))


@functools.lru_cache(maxsize=64)
def _load_class(name: str, _search_path: tuple[str, ...]) -> type[PaymentProvider]:
    # Finding an entry point takes a look into every installed package: ten milliseconds, several times
    # a charge. What is not found, or is broken, is looked for again.
    points = list(metadata.entry_points(group=GROUP, name=name))
    if not points:
        installed = ", ".join(names()) or "none"
        raise ProviderNotFound(f"there is no provider {name!r}; installed: {installed}")
    targets = sorted({point.value for point in points})
    if len(targets) > 1:
        raise ProviderLoadError(f"several packages offer a provider {name!r}: {', '.join(targets)}")
    try:
        loaded = points[0].load()
    except Exception as error:  # a plug-in's module may raise anything
        reason = f"cannot be imported: {type(error).__name__}: {error}"
        raise ProviderLoadError(f"the provider {name!r} ({targets[0]}) {reason}") from error
    if defect := _defect(loaded):
        raise ProviderLoadError(f"the provider {name!r} ({targets[0]}) {defect}")
    return typing.cast(type[PaymentProvider], loaded)


def _defect(loaded: object) -> str:
    """What is wrong with what an entry point names; "" for a provider."""
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
    # Behind the wrapping mixins, whose methods only call what the next class has.
    for cls in provider.__mro__:
        if method in vars(cls) and cls not in mixins.WRAPPERS:
            method_function = vars(cls)[method]
            return (
                None if getattr(method_function, "__isabstractmethod__", False) else method_function
            )
    return None


def create_provider(provider_name: str, account: str, config: Mapping[str, Any]) -> PaymentProvider:
    """
    The provider of one account; the same instance while one with this config is in use.

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
    Turn plain values into the provider's frozen config; texts become `Secret` where it has one.

    :raises ValidationError: if a field is unknown, missing or of the wrong type.
    """
    fields = {one.name: one for one in dataclasses.fields(provider.Config) if one.init}
    for name in config:
        if name not in fields:
            allowed = ", ".join(sorted(fields))
            raise errors.ValidationError(
                f"{provider.name} has no such setting; it has {allowed}", param=str(name)
            )
    missing = dataclasses.MISSING
    for name, one in fields.items():
        required = one.default is missing and one.default_factory is missing
        if required and name not in config:
            raise errors.ValidationError(f"{provider.name} needs this setting", param=name)
    hints = typing.get_type_hints(provider.Config)
    values = {name: _convert(name, value, hints[name]) for name, value in config.items()}
    try:
        return provider.Config(**values)
    except (TypeError, ValueError) as error:
        raise errors.ValidationError(f"{provider.name} refused its settings: {error}") from error


def secret_fields(name: str) -> list[str]:
    """The names of the settings of provider *name* that are secrets."""
    config = get_class(name).Config
    hints = typing.get_type_hints(config)
    return [one.name for one in dataclasses.fields(config) if hints[one.name] is Secret]


def _convert(name: str, value: Any, hint: Any) -> Any:
    """*value* as a field of type *hint* has it. :raises ValidationError: if it does not fit."""
    if hint is Secret:
        if isinstance(value, Secret):
            return value
        if isinstance(value, str):
            return Secret(value)
        # The value is not shown: it may be the secret in another form.
        raise errors.ValidationError(f"must be text, not {type(value).__name__}", param=name)
    if hint is float and type(value) is int:
        return float(value)
    expected = [one for one in _plain_types(hint) if one is not object]
    # A bool is an int to isinstance(), but a setting of true is no number.
    fits = any(isinstance(value, one) for one in expected)
    fits = fits and (type(value) is not bool or bool in expected)
    if expected and not fits:
        names = " or ".join(one.__name__ for one in expected)
        raise errors.ValidationError(f"must be {names}, not {type(value).__name__}", param=name)
    return types.MappingProxyType(dict(value)) if isinstance(value, Mapping) else value


def _plain_types(hint: Any) -> list[type]:
    """The classes a value of type *hint* may have; none where that cannot be told."""
    origin = typing.get_origin(hint)
    if origin in {typing.Union, types.UnionType}:
        return [plain for part in typing.get_args(hint) for plain in _plain_types(part)]
    plain = origin or hint
    return [plain] if isinstance(plain, type) else []
