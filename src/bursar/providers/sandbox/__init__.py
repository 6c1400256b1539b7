"""A provider that can fail in every way, with a book of its own; for tests, campaigns and demo."""

from bursar.providers.sandbox.provider import SandboxConfig, SandboxProvider

__all__ = ["SandboxConfig", "SandboxProvider"]
