"""
One-time tokens of forms: a form that is sent twice decides once.

Every decision form carries a token, signed with the installation's secret key. It names the person,
the action and the object, and holds a random value, which is the idempotency key of the change. A
repeat of the form (Enter pressed twice, a double click, the same POST again after a new sign-in)
therefore finds the first result. Two forms opened separately are two decisions.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Final

from django.core import signing

from bursar import errors
from bursar.access import idempotency

#: Name of the hidden field. No decision has a field of this name.
FIELD: Final = "form_token"

#: Age from which a form is refused. A form dies before `access.idempotency` forgets its result.
AGE_MAX: Final = timedelta(hours=12)
#: Difference of clocks between processes that is tolerated.
CLOCK_SKEW_MAX: Final = timedelta(minutes=5)
assert AGE_MAX + CLOCK_SKEW_MAX < idempotency.RETENTION

_SIGNER_SALT = "bursar.admin.form_token"


class FormTokenRefused(errors.Denied):
    """The form has no valid one-time token of this person, action and object."""

    code = "invalid_form_token"


class FormExpired(errors.Conflict):
    """The form was opened too long ago."""

    code = "form_expired"


class FormAlreadySent(errors.Conflict):
    """The form was sent before with other values."""

    code = "form_already_sent"


def issue(*, person_id: int, action: str, subject: str, now: datetime) -> str:
    """Return a new token for *action* on *subject* (the key of the object; empty for a new one)."""
    payload = [person_id, action, subject, int(now.timestamp()), secrets.token_urlsafe(16)]
    return _signer().sign_object(payload)


def idempotency_key_of(
    token: str, *, person_id: int, action: str, subject: str, now: datetime
) -> str:
    """
    Check a token and return its random value.

    :raises FormTokenRefused: if it is missing, forged, or of another person, action or object;
    :raises FormExpired: if it is older than `AGE_MAX`.
    """
    if not token:
        raise FormTokenRefused(
            "The form came without its one-time token. Nothing was changed. Check the form and send it again."
        )
    try:
        signed_person, signed_action, signed_subject, issued, value = _signer().unsign_object(token)
    except (signing.BadSignature, ValueError):
        raise FormTokenRefused(
            "The one-time token of the form is not valid here. Nothing was changed. "
            "Check the form and send it again."
        ) from None
    if (signed_person, signed_action, signed_subject) != (person_id, action, subject):
        raise FormTokenRefused(
            "The form was made for another person or for something else. Nothing was changed. "
            "Check the form and send it again."
        )
    age = now.timestamp() - issued
    if not -CLOCK_SKEW_MAX.total_seconds() <= age <= AGE_MAX.total_seconds():
        raise FormExpired(
            f"The form was opened more than {AGE_MAX.total_seconds() / 3600:.0f} hours ago. "
            "Nothing was changed now; if you sent it before, look first at what became of that. "
            "Check the form and send it again."
        )
    return str(value)


def _signer() -> signing.Signer:
    return signing.Signer(salt=_SIGNER_SALT)
