"""How long certificates hold, read from real servers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bursar import errors
from bursar.dashboard.checks import tls_certificate
from bursar.dashboard.checks.base import RawMeasurement
from bursar.dashboard.config.monitors import CertificateMonitorConfig


async def look(tls: ssl.SSLContext, *, host: str = "localhost", ca_file: str, now: datetime) -> Any:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=tls)
    async with server:
        port = server.sockets[0].getsockname()[1]
        told = CertificateMonitorConfig(host=host, port=port, ca_file=ca_file)
        return await tls_certificate.check_certificate(told, now=lambda: now)


def test_the_days_left_are_counted(certificate: Callable[..., Any]) -> None:
    made = certificate("localhost", days=10)
    for days, left in ((0, 10.0), (4, 6.0)):
        now = datetime.now(UTC) + timedelta(days=days)
        [raw] = asyncio.run(look(made.context, ca_file=str(made.path), now=now))
        assert (raw.name, raw.unit, round(raw.value, 1)) == ("days until expiry", "d", left)


def test_one_that_has_expired_has_no_days_left(certificate: Callable[..., Any]) -> None:
    made = certificate("localhost", days=-1)
    found = asyncio.run(look(made.context, ca_file=str(made.path), now=datetime.now(UTC)))
    assert found == (
        RawMeasurement(name="days until expiry", value=0.0, unit="d", level="critical", decimals=1),
    )


def test_one_that_is_not_to_be_trusted_is_told(certificate: Callable[..., Any]) -> None:
    own, other = certificate("localhost"), certificate("other.example")
    for shown, vouched, why in (
        (own, other, "self-signed certificate"),
        (other, other, "mismatch"),
    ):
        with pytest.raises(errors.ValidationError, match=why):
            asyncio.run(look(shown.context, ca_file=str(vouched.path), now=datetime.now(UTC)))


def test_thresholds_are_the_declared_days() -> None:
    told = CertificateMonitorConfig(host="a.example", warning_days=30, critical_days=5)
    limits = tls_certificate.create_check(name="a", config=told).thresholds["days until expiry"]
    assert [limits.level_of(days) for days in (30.0, 29.9, 5.0, 4.9)] == [
        "ok",
        "warning",
        "warning",
        "critical",
    ]
