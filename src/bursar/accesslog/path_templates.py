"""Turn paths into routes: a segment that is an identifier becomes `{id}`."""

from __future__ import annotations

import re
from collections.abc import Sequence

#: A segment that is a number, a date, a UUID, a ULID, an e-mail address, a prefixed id of a payment
#: provider (`ch_3Nv2...`), a hash, or a token of 16 characters or more that contains a digit.
_ID = re.compile(
    rb"(?<=/)(?:"
    rb"\d+"
    rb"|\d{4}-\d\d(?:-\d\d)?"
    rb"|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
    rb"|[^/\n@]+@[^/\n@]+\.[^/\n@]+"
    rb"|[a-z]{2,12}_(?=[A-Za-z_]{0,40}\d)[A-Za-z0-9_]{6,80}"
    rb"|(?=[A-Za-z_-]{0,80}\d)[A-Za-z0-9_-]{16,200}"
    rb")(?=/|\n)"
)


def to_routes(paths: Sequence[bytes]) -> list[bytes]:
    """Return the routes of *paths* (without queries): `/orders/42/pay` becomes `/orders/{id}/pay`."""
    if not paths:
        return []
    # One substitution for all paths: ten times as fast as one per path. No path contains a line end.
    return _ID.sub(b"{id}", b"\n".join([*paths, b""])).split(b"\n")[:-1]
