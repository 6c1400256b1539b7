"""Check of a TLS certificate: the days until it expires."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Callable
from datetime import datetime
from typing import Final

from bursar import clock, errors
from bursar.dashboard.checks.base import CheckResult, MonitorCheck, RawMeasurement
from bursar.dashboard.config.monitors import CertificateMonitorConfig
from bursar.dashboard.fetching.sources import CoroutineSource
from bursar.dashboard.live_state import Level
from bursar.dashboard.thresholds import Thresholds

DAYS_UNTIL_EXPIRY: Final = "days until expiry"
#: OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED.
_EXPIRED: Final = 10
_DAY_SECONDS: Final = 86_400.0
_MESSAGE_CHARACTERS_MAX: Final = 160


def create_check(
    *, name: str, config: CertificateMonitorConfig, now: Callable[[], datetime] = clock.now
) -> MonitorCheck:
    """Create the check of a certificate."""
    key = f"certificate:{name}"
    seconds = config.timeout_seconds
    return MonitorCheck(
        key=key,
        title=config.title or config.host[:120],
        group=config.group or "Certificates",
        kind="certificate",
        source=CoroutineSource(
            key=key,
            function=functools.partial(check_certificate, config, now=now),
            timeout_seconds=seconds,
            attempt_seconds=seconds,
            attempts_max=2,
            host=f"{config.host}:{config.port}",
        ),
        interval_seconds=config.interval_seconds,
        alert_after_seconds=config.alert_after_seconds,
        stale_level=config.stale_level,
        flap_damping=config.flap_damping,
        thresholds={
            DAYS_UNTIL_EXPIRY: Thresholds(
                warning_below=config.warning_days,
                critical_below=config.critical_days,
                margin=0.0,
            )
        },
    )


async def check_certificate(
    config: CertificateMonitorConfig, *, now: Callable[[], datetime]
) -> CheckResult:
    """
    Connect and return the days until the certificate expires; 0 if it has expired.

    :raises errors.ValidationError: if the certificate is not trusted for another reason.
    """
    context = _context(config.ca_file)
    try:
        _, writer = await asyncio.open_connection(
            config.host, config.port, ssl=context, server_hostname=config.host
        )
    except ssl.SSLCertVerificationError as error:
        if error.verify_code == _EXPIRED:
            return (_days(0.0, level="critical"),)
        raise errors.ValidationError(
            f"certificate not trusted: {error.verify_message[:_MESSAGE_CHARACTERS_MAX]}"
        ) from None
    try:
        certificate = writer.get_extra_info("ssl_object").getpeercert()
    finally:
        writer.transport.abort()
    seconds = ssl.cert_time_to_seconds(str(certificate["notAfter"])) - now().timestamp()
    return (_days(round(seconds / _DAY_SECONDS, 2)),)


def _days(days: float, *, level: Level = "ok") -> RawMeasurement:
    return RawMeasurement(name=DAYS_UNTIL_EXPIRY, value=days, unit="d", level=level, decimals=1)


@functools.lru_cache(maxsize=32)
def _context(ca_file: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as error:
        raise errors.ValidationError(f"ca_file is not readable: {error.strerror}") from None
