"""The second factor: one-time codes of an app (TOTP, RFC 6238), set up by the person themselves."""

from __future__ import annotations

import io
from datetime import datetime

import segno
from django_otp.plugins.otp_totp.models import TOTPDevice

from bursar import errors, group_commit, settings
from bursar.access import audit_log
from bursar.access.models import User


class InvalidOneTimeCode(errors.ValidationError):
    """The code is not the one the app shows now."""

    code = "invalid_one_time_code"


def device_of(person: User) -> TOTPDevice | None:
    """The device whose codes the person signs in with; None without one."""
    return TOTPDevice.objects.filter(user_id=person.pk, confirmed=True).first()


def setup_required(person: User) -> bool:
    """Whether *person* must set one up before being let in."""
    return settings.current.require_mfa and device_of(person) is None


def begin_enrollment(*, email: str) -> str:
    """
    Keep a device that is not trusted yet, in the place of an earlier such; returns its
    `otpauth://` address, which holds its secret.

    Needs an open transaction.
    """
    group_commit.require_transaction()
    person = User.objects.get(email=email)
    device, _ = TOTPDevice.objects.get_or_create(
        user_id=person.pk, confirmed=False, defaults={"name": "one-time codes"}
    )
    return str(device.config_url)


def confirm_enrollment(*, email: str, token: str, now: datetime) -> None:
    """
    Trust the proposed device from now on, if *token* is its code.

    :raises WrongCode: if it is not.
    """
    group_commit.require_transaction()
    person = User.objects.get(email=email)
    device = TOTPDevice.objects.filter(user_id=person.pk, confirmed=False).first()
    if device is None or not token.isdigit() or not device.verify_token(token):
        raise InvalidOneTimeCode("this is not the code that the app shows now", param="code")
    TOTPDevice.objects.filter(user_id=person.pk, confirmed=True).delete()
    device.confirmed = True
    device.save()
    audit_log.record(action="person.second_factor", subject=email, now=now, after={"set_up": True})


def verify_code(*, email: str, token: str) -> bool:
    """Whether *token* is the person's code now; each is good once, and wrong ones slow down."""
    group_commit.require_transaction()
    device = device_of(User.objects.get(email=email))
    return device is not None and token.isdigit() and bool(device.verify_token(token))


def disable(*, email: str, now: datetime) -> None:
    """Forget a person's devices: the phone is lost."""
    group_commit.require_transaction()
    devices = TOTPDevice.objects.filter(user__email=email.strip().lower())
    if devices.delete()[0]:
        audit_log.record(
            action="person.second_factor", subject=email, now=now, after={"set_up": False}
        )


def qr_code_svg(address: str) -> str:
    """The QR code of an `otpauth://` address, as SVG."""
    out = io.BytesIO()
    segno.make(address, error="m").save(
        out, kind="svg", scale=5, border=2, xmldecl=False, svgns=True, dark="#111", light="#fff"
    )
    return out.getvalue().decode("ascii")
