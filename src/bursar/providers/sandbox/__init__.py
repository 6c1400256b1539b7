"""A provider that can fail in every way, simulated in one SQLite file; for tests, campaigns and demo."""

from bursar.providers.sandbox.provider import SandboxConfig, SandboxProvider

__all__ = ["SandboxConfig", "SandboxProvider"]
