"""How long a host's certificate is still good for."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Callable
from datetime import datetime
from typing import Final

from bursar import clock, errors
from bursar.dashboard.checks.base import Answer, MonitorCheck, RawMeasurement
from bursar.dashboard.config.monitors import CertificateMonitorConfig
from bursar.dashboard.fetching.sources import CoroutineSource
from bursar.dashboard.thresholds import Thresholds

DAYS_LEFT: Final = "days left"
#: OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED.
_EXPIRED: Final = 10
_DAY_SECONDS: Final = 86_400.0


def watch(
    *, name: str, certificate: CertificateMonitorConfig, now: Callable[[], datetime] = clock.now
) -> MonitorCheck:
    """Make a certificate ready to be looked at."""
    key = f"certificate:{name}"
    seconds = certificate.timeout_seconds
    return MonitorCheck(
        key=key,
        title=certificate.title or certificate.host[:120],
        group=certificate.group or "Certificates",
        kind="certificate",
        source=CoroutineSource(
            key=key,
            function=functools.partial(look, certificate, now=now),
            timeout_seconds=seconds,
            attempt_seconds=seconds,
            attempts_max=2,
            host=f"{certificate.host}:{certificate.port}",
        ),
        interval_seconds=certificate.interval_seconds,
        silence_seconds=certificate.silence_seconds,
        stale_level=certificate.stale_level,
        patience=certificate.patience,
        limits={
            DAYS_LEFT: Thresholds(
                warning_below=certificate.warning_days,
                critical_below=certificate.critical_days,
                margin=0.0,
            )
        },
    )


async def look(certificate: CertificateMonitorConfig, *, now: Callable[[], datetime]) -> Answer:
    """
    Connect, and read until when the certificate holds.

    :raises errors.ValidationError: if it is not to be trusted; one that has expired is no failure
        to look, it has 0 days left.
    """
    context = _context(certificate.ca_file)
    try:
        _, writer = await asyncio.open_connection(
            certificate.host, certificate.port, ssl=context, server_hostname=certificate.host
        )
    except ssl.SSLCertVerificationError as error:
        if error.verify_code == _EXPIRED:
            return (RawMeasurement(name=DAYS_LEFT, value=0.0, unit="d", level="critical"),)
        raise errors.ValidationError(
            f"its certificate is not to be trusted: {error.verify_message[:160]}"
        ) from None
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert()
    finally:
        writer.transport.abort()
    left = ssl.cert_time_to_seconds(str(shown["notAfter"])) - now().timestamp()
    return (RawMeasurement(name=DAYS_LEFT, value=round(left / _DAY_SECONDS, 2), unit="d"),)


@functools.lru_cache(maxsize=32)
def _context(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise errors.ValidationError(f"ca_file cannot be read: {error.strerror}") from None
