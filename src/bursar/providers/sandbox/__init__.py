"""The sandbox: a simulated provider in one SQLite file, with fault injection."""

from bursar.providers.sandbox.provider import SandboxConfig, SandboxProvider

__all__ = ["SandboxConfig", "SandboxProvider"]
