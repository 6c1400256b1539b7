"""How the back office shows things: amounts by their currency, times, states in colour, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from django.contrib.admin.utils import quote
from django.db.models import Model
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from bursar import settings
from bursar.money import Money

Shown = str | SafeString

#: What a state looks like: good, bad, needs care, under way, or nothing special.
TONES: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "captured",
            "succeeded",
            "paid",
            "approved",
            "active",
            "won",
            "refund_succeeded",
            "ok",
            "sent",
        ),
        "good",
    ),
    **dict.fromkeys(
        ("declined", "failed", "dead", "lost", "revoked", "rejected", "locked", "critical"), "bad"
    ),
    **dict.fromkeys(
        (
            "unknown",
            "requires_action",
            "waiting",
            "needs_response",
            "open",
            "overpaid",
            "under_review",
            "inquiry",
            "warning",
            "stale",
            "overdue",
        ),
        "care",
    ),
    **dict.fromkeys(
        (
            "pending",
            "processing",
            "authorized",
            "partially_captured",
            "ready",
            "delayed",
            "leased",
            "partially_paid",
            "created",
            "started",
        ),
        "busy",
    ),
}


@dataclass(frozen=True, slots=True)
class DetailTable:
    """A table on a page; *empty* is the sentence in its place when there is nothing."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Shown]]
    empty: str = "Nothing."


@dataclass(frozen=True, slots=True)
class ActionButton:
    """A next step; *tone* is `primary`, `danger` or plain."""

    label: str
    url: str
    tone: str = "plain"


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One entry of a time line."""

    at: datetime
    title: Shown
    detail: Shown = ""
    tone: str = ""
    order: int = 0  # among entries of one instant: what leads to what


@dataclass(slots=True)
class DetailPage:
    """What a page about one thing holds."""

    title: str
    state: Shown = ""
    reason: str = ""
    facts: list[tuple[str, Shown]] = field(default_factory=list)
    buttons: list[ActionButton] = field(default_factory=list)
    tables: list[DetailTable] = field(default_factory=list)
    moments: list[TimelineEntry] = field(default_factory=list)


def money(amount_minor: int, currency: str) -> Shown:
    """An amount as its currency writes it, kept on one line."""
    return format_html('<span class="b-amount">{}</span>', str(Money(amount_minor, currency)))


def format_datetime(moment: datetime | None) -> Shown:
    """A time in the accounting time zone, to the second; the zone is in the page's foot."""
    if moment is None:
        return "never"
    local = moment.astimezone(ZoneInfo(settings.current.time_zone))
    return format_html(
        '<time class="b-time" datetime="{}">{}</time>',
        moment.isoformat(),
        local.strftime("%Y-%m-%d %H:%M:%S"),
    )


def format_age(seconds: float) -> str:
    """How long, in the largest unit that fits."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def humanize(code: str) -> str:
    """`insufficient_funds` as people write it."""
    return code.replace("_", " ")


def state(name: str, label: str = "") -> Shown:
    """A state in its colour; the word is there for those who see none."""
    return format_html(
        '<span class="b-state b-{}">{}</span>', TONES.get(name, "plain"), label or humanize(name)
    )


def link(row: Model, label: object = "") -> Shown:
    """A link to a row's page."""
    name = f"admin:bursar_{row._meta.model_name}_change"
    return format_html(
        '<a class="b-link" href="{}">{}</a>', reverse(name, args=[quote(row.pk)]), label or row.pk
    )


def link_to(model: str, key: object, label: object = "") -> Shown:
    """A link to the page of the row with *key*, which need not have been read."""
    if not key:
        return ""
    url = reverse(f"admin:bursar_{model}_change", args=[quote(str(key))])
    return format_html('<a class="b-link" href="{}">{}</a>', url, label or key)


def pairs(values: Mapping[str, object]) -> str:
    """A small JSON object in a line."""
    return ", ".join(f"{humanize(str(key))}: {value}" for key, value in values.items()) or "-"
