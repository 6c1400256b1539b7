"""
Identifiers: a prefix that tells the kind, and a UUIDv7 in Crockford's base32.

UUIDv7 (RFC 9562 section 5.7) begins with the time, so that ids made later sort later and an
index grows at its end.
"""

from __future__ import annotations

import hashlib

import uuid_utils

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
#: 128 bits at 5 bits a letter.
_LETTERS = 26

ORDER, PAYMENT, ATTEMPT, REFUND, REVIEW = "ord", "pay", "att", "re", "rev"
BODY, API_KEY, RECONCILIATION = "raw", "key", "rec"
EVENT = "evt"  # and a fact's number
ALERT = "alr"


def new(prefix: str) -> str:
    """Make an id such as `pay_06ev3n...`: the prefix, an underscore and 26 letters."""
    return f"{prefix}_{_base32(uuid_utils.uuid7().int)}"


def _base32(number: int) -> str:
    return "".join([_ALPHABET[number >> shift & 31] for shift in range(5 * (_LETTERS - 1), -1, -5)])


def digest(*parts: object) -> str:
    """
    Name a tuple of values by content: 32 hexadecimal letters of SHA-256 (128 bits).

    Parts are told apart (`("a", "bc")` is not `("ab", "c")`), and so are their types (1 is not
    "1"); a `StrEnum` counts as its text, which is what a database gives back.
    """
    # With its length before it no part can pretend to be two.
    told = [
        f"{'str' if isinstance(part, str) else type(part).__name__}:{len(text := str(part))}:{text};"
        for part in parts
    ]
    return hashlib.sha256("".join(told).encode("utf-8", "surrogatepass")).hexdigest()[:32]
