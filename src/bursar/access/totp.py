"""Two-factor authentication by one-time codes of an app (TOTP, RFC 6238)."""

from __future__ import annotations

import io
from datetime import datetime

import segno
from django_otp.plugins.otp_totp.models import TOTPDevice

from bursar import errors, group_commit, settings
from bursar.access import audit_log
from bursar.access.models import User


class InvalidOneTimeCode(errors.ValidationError):
    """The one-time code is wrong, expired or already used."""

    code = "invalid_one_time_code"


def device_of(user: User) -> TOTPDevice | None:
    """Return the confirmed TOTP device of the user; None without one."""
    return TOTPDevice.objects.filter(user_id=user.pk, confirmed=True).first()


def setup_required(user: User) -> bool:
    """Return whether *user* must set up two-factor authentication before using the back office."""
    return settings.current.require_mfa and device_of(user) is None


def begin_enrollment(*, email: str) -> str:
    """
    Create an unconfirmed device, or reuse the existing one. Needs an open transaction.

    Returns its `otpauth://` URI, which contains the secret.
    """
    group_commit.require_transaction()
    user = User.objects.get(email=email)
    device, _ = TOTPDevice.objects.get_or_create(
        user_id=user.pk, confirmed=False, defaults={"name": "one-time codes"}
    )
    return str(device.config_url)


def confirm_enrollment(*, email: str, token: str, now: datetime) -> None:
    """
    Confirm the device if *token* is its current code; it replaces an earlier device.

    Needs an open transaction.

    :raises InvalidOneTimeCode: if it is not.
    """
    group_commit.require_transaction()
    user = User.objects.get(email=email)
    device = TOTPDevice.objects.filter(user_id=user.pk, confirmed=False).first()
    if device is None or not token.isdigit() or not device.verify_token(token):
        raise InvalidOneTimeCode("the one-time code is wrong or expired", param="code")
    TOTPDevice.objects.filter(user_id=user.pk, confirmed=True).delete()
    device.confirmed = True
    device.save()
    audit_log.record(action="user.enable_mfa", subject=email, now=now)


def verify_code(*, email: str, token: str) -> bool:
    """Check a one-time code: each is accepted once, and failed attempts are throttled."""
    group_commit.require_transaction()
    device = device_of(User.objects.get(email=email))
    return device is not None and token.isdigit() and bool(device.verify_token(token))


def disable(*, email: str, now: datetime) -> None:
    """Delete a user's devices, for example after a lost phone. Needs an open transaction."""
    group_commit.require_transaction()
    devices = TOTPDevice.objects.filter(user__email=email.strip().lower())
    if devices.delete()[0]:
        audit_log.record(action="user.disable_mfa", subject=email, now=now)


def qr_code_svg(address: str) -> str:
    """Render an `otpauth://` URI as a QR code in SVG."""
    out = io.BytesIO()
    segno.make(address, error="m").save(
        out, kind="svg", scale=5, border=2, xmldecl=False, svgns=True, dark="#111", light="#fff"
    )
    return out.getvalue().decode("ascii")
