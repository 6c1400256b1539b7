"""Providers are found by entry point, configured from plain values, and shared while in use."""

import gc
import importlib
import sys

import pytest

from bursar import errors
from bursar.providers import registry
from bursar.providers.interface import Secret
from bursar.providers.registry import ProviderLoadFailed, ProviderNotFound
from bursar.providers.sandbox import SandboxProvider
from bursar.providers.sandbox.provider import (
    SandboxWithoutIdempotency,
    SandboxWithoutIdempotencyOrLookup,
    SandboxWithoutLookup,
)

MODULE = """
from dataclasses import dataclass
from bursar.providers import http_provider, interface, mixins

@dataclass(frozen=True, slots=True)
class Config:
    url: str
    api_key: interface.Secret
    port: int = 1
    share: float = 0.5
    live: bool = False
    note: str | None = None

@dataclass
class Loose:
    url: str

class Good(mixins.LoggingMixin, mixins.RetryMixin, interface.PaymentProvider):
    __slots__ = ()
    name, Config = "good", Config

class Half(http_provider.HttpProvider):
    __slots__ = ()
    name = "half"
    async def charge(self, request, /): ...
    async def refund(self, request, /): ...
    async def get_status(self, request, /): ...

class Complete(mixins.LoggingMixin, Half):
    __slots__ = ()
    name, Config = "complete", Config

class Open(Half):
    Config = Loose

class Nameless(http_provider.HttpProvider):
    async def charge(self, request, /): ...
    async def refund(self, request, /): ...
    async def get_status(self, request, /): ...

class Blocking(Half):
    def refund(self, request, /): ...

class Stranger: ...
"""

POINTS = {
    "complete": "plugged:Complete",
    "unfinished": "plugged:Good",
    "open": "plugged:Open",
    "nameless": "plugged:Nameless",
    "blocking": "plugged:Blocking",
    "stranger": "plugged:Stranger",
    "missing": "plugged:Nothing",
    "absent": "no_such_module:Provider",
    "raising": "raising:Provider",
    "sandbox": "plugged:Complete",
}


@pytest.fixture
def plugged(tmp_path, monkeypatch):
    """A distribution with good and broken providers, on the path for one test."""
    (tmp_path / "plugged.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "raising.py").write_text("raise ZeroDivisionError('at import')", encoding="utf-8")
    info = tmp_path / "plugged-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1\n", "utf-8")
    points = "\n".join(f"{name} = {target}" for name, target in POINTS.items())
    (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{points}\n", "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield
    sys.modules.pop("plugged", None)


def test_the_built_in_ones_are_entry_points_too():
    assert "sandbox" in registry.names()
    assert registry.get_class("sandbox") is SandboxProvider


def test_names_imports_nothing(plugged):
    assert set(POINTS) <= set(registry.names())
    assert "plugged" not in sys.modules


def test_an_unknown_name_tells_the_known_ones():
    with pytest.raises(
        ProviderNotFound, match=r"no provider named 'paypall' is installed; installed: .*sandbox"
    ):
        registry.get_class("paypall")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("unfinished", "has no method charge"),
        ("open", "no Config that is a frozen dataclass with slots"),
        ("nameless", "has no name"),
        ("blocking", "a method refund that is not async"),
        ("stranger", "is not a subclass of PaymentProvider"),
        ("missing", "cannot be imported: AttributeError"),
        ("absent", "cannot be imported: ModuleNotFoundError"),
        ("raising", "cannot be imported: ZeroDivisionError: at import"),
        ("sandbox", "several packages have a provider 'sandbox'"),
    ],
)
def test_a_broken_plug_in_is_named(plugged, name, says):
    with pytest.raises(ProviderLoadFailed, match=says) as caught:
        registry.get_class(name)
    assert POINTS[name] in str(caught.value)


@pytest.mark.parametrize(
    ("config", "param", "says"),
    [
        (
            {"url": "u", "api_key": "k", "prot": 1},
            "prot",
            "no such setting; its settings: api_key, live",
        ),
        ({"url": "u"}, "api_key", "requires this setting"),
        ({"url": 1, "api_key": "k"}, "url", "must be str, not int"),
        ({"url": "u", "api_key": 5}, "api_key", "must be text, not int"),
        ({"url": "u", "api_key": "k", "port": "80"}, "port", "must be int, not str"),
        ({"url": "u", "api_key": "k", "port": True}, "port", "must be int, not bool"),
        ({"url": "u", "api_key": "k", "share": True}, "share", "must be float, not bool"),
        ({"url": "u", "api_key": "k", "live": 1}, "live", "must be bool, not int"),
        ({"url": "u", "api_key": "k", "note": 1}, "note", "must be str or NoneType, not int"),
    ],
)
def test_a_config_that_does_not_fit_names_the_field(plugged, config, param, says):
    with pytest.raises(errors.ValidationError, match=says) as caught:
        registry.create_provider("complete", "main", config)
    assert caught.value.param == param


def test_plain_values_become_a_frozen_config_with_secrets(plugged):
    config = {"url": "u", "api_key": "hush", "share": 1, "note": None}
    built = registry.create_provider("complete", "main", config).config
    assert (built.url, built.api_key, built.share, built.note) == ("u", Secret("hush"), 1.0, None)
    assert type(built.share) is float
    assert "hush" not in repr(built)


def test_one_account_with_one_config_is_one_instance(plugged):
    config = {"url": "u", "api_key": "k"}
    first = registry.create_provider("complete", "main", config)
    assert registry.create_provider("complete", "main", dict(config)) is first
    assert registry.create_provider("complete", "other", config) is not first
    assert (
        registry.create_provider("complete", "main", config | {"api_key": "rotated"}) is not first
    )


def test_an_instance_nobody_uses_is_let_go(plugged):
    registry.create_provider("complete", "main", {"url": "u", "api_key": "gone"})
    gc.collect()
    assert [key for key in registry._instances if key[0] == "complete"] == []


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({}, SandboxProvider),
        ({"idempotency_keys": False}, SandboxWithoutIdempotency),
        ({"lookup_by_key": False}, SandboxWithoutLookup),
        ({"idempotency_keys": False, "lookup_by_key": False}, SandboxWithoutIdempotencyOrLookup),
    ],
)
def test_the_config_of_a_sandbox_picks_what_it_declares(config, kind):
    provider = registry.create_provider("sandbox", "main", config)
    assert type(provider) is kind
    assert (provider.idempotency_key_ttl is not None) == config.get("idempotency_keys", True)
    assert provider.lookup_by_key == config.get("lookup_by_key", True)
