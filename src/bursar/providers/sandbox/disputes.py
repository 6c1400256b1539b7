"""Dispute timelines: the changes of status and balance of a dispute, day by day."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bursar.providers.interface import DisputeStatus


class DisputeStep(NamedTuple):
    """
    One change of a dispute, *days* after the previous one (the first: after the capture).

    *withdrawn* and *reinstated* are how often the full amount was withdrawn and reinstated so far.
    """

    days: int
    status: DisputeStatus
    stage: int
    withdrawn: int
    reinstated: int


_INQUIRY = DisputeStatus.INQUIRY
_CLOSED = DisputeStatus.INQUIRY_CLOSED
_NEEDS = DisputeStatus.NEEDS_RESPONSE
_REVIEW = DisputeStatus.UNDER_REVIEW
_WON = DisputeStatus.WON
_LOST = DisputeStatus.LOST

DISPUTE_TIMELINES: Mapping[str, tuple[DisputeStep, ...]] = {
    "at_once": (DisputeStep(0, _NEEDS, 1, 1, 0),),
    "inquiry_at_once": (DisputeStep(0, _INQUIRY, 1, 0, 0),),
    "inquiry": (DisputeStep(1, _INQUIRY, 1, 0, 0), DisputeStep(1, _CLOSED, 1, 0, 0)),
    "lost": (
        DisputeStep(1, _NEEDS, 1, 1, 0),
        DisputeStep(1, _REVIEW, 1, 1, 0),
        DisputeStep(1, _LOST, 1, 1, 0),
    ),
    "won": (
        DisputeStep(1, _NEEDS, 1, 1, 0),
        DisputeStep(1, _REVIEW, 1, 1, 0),
        DisputeStep(1, _WON, 1, 1, 1),
    ),
    "second_round": (
        DisputeStep(1, _NEEDS, 1, 1, 0),
        DisputeStep(1, _WON, 1, 1, 1),
        DisputeStep(1, _NEEDS, 2, 2, 1),
        DisputeStep(1, _LOST, 2, 2, 1),
    ),
}
