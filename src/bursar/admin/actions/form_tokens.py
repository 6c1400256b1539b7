"""
One-time tokens of forms: a form submitted twice runs its action once.

Every action form carries a token, signed with the installation's secret key. It names the user, the
action and the object, and holds a random value, which is the idempotency key of the change. A
resubmission (Enter pressed twice, a double click, the same POST after a new sign-in) therefore
returns the first result. Two forms opened separately are two actions.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Final

from django.core import signing

from bursar import errors
from bursar.access import idempotency

#: Name of the hidden field. No action has a field of this name.
FIELD: Final = "form_token"

#: Age from which a form is refused: less than the retention of its result in `access.idempotency`.
AGE_MAX: Final = timedelta(hours=12)
#: Tolerated difference of clocks between processes.
CLOCK_SKEW_MAX: Final = timedelta(minutes=5)
assert AGE_MAX + CLOCK_SKEW_MAX < idempotency.RETENTION

_SIGNER_SALT = "bursar.admin.form_token"


class InvalidFormToken(errors.Denied):
    """The form has no valid one-time token for this user, action and object."""

    code = "invalid_form_token"


class FormExpired(errors.Conflict):
    """The form was opened too long ago."""

    code = "form_expired"


class FormAlreadySent(errors.Conflict):
    """The form was already submitted with other values."""

    code = "form_already_sent"


def issue(*, user_id: int, action: str, subject: str, now: datetime) -> str:
    """Return a new token for *action* on *subject* (the key of the object; empty for a new one)."""
    payload = [user_id, action, subject, int(now.timestamp()), secrets.token_urlsafe(16)]
    return _signer().sign_object(payload)


def idempotency_key_of(
    token: str, *, user_id: int, action: str, subject: str, now: datetime
) -> str:
    """
    Check a token and return its random value.

    :raises InvalidFormToken: if it is missing, forged, or for another user, action or object;
    :raises FormExpired: if it is older than `AGE_MAX`.
    """
    if not token:
        raise InvalidFormToken(
            "The form has no one-time token. Nothing was changed. Check the form and submit it again."
        )
    try:
        signed_user, signed_action, signed_subject, issued, value = _signer().unsign_object(token)
    except (signing.BadSignature, ValueError):
        raise InvalidFormToken(
            "The form's one-time token is not valid. Nothing was changed. "
            "Check the form and submit it again."
        ) from None
    if (signed_user, signed_action, signed_subject) != (user_id, action, subject):
        raise InvalidFormToken(
            "The form was issued to another user or for another action or object. Nothing was "
            "changed. Check the form and submit it again."
        )
    age = now.timestamp() - issued
    if not -CLOCK_SKEW_MAX.total_seconds() <= age <= AGE_MAX.total_seconds():
        raise FormExpired(
            f"The form was opened more than {AGE_MAX.total_seconds() / 3600:.0f} hours ago. "
            "Nothing was changed now. If you submitted it before, check that result first. "
            "Check the form and submit it again."
        )
    return str(value)


def _signer() -> signing.Signer:
    return signing.Signer(salt=_SIGNER_SALT)
