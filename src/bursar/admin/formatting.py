"""Formatting of amounts, dates, statuses and links, and the parts of a detail page."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

from django.contrib.admin.utils import quote
from django.db.models import Model
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from bursar import settings
from bursar.money import Money

DisplayValue = str | SafeString

#: The colour of a status: good, bad, care (needs attention), busy (in progress); others are plain.
STATUS_TONES: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "captured",
            "succeeded",
            "paid",
            "approved",
            "active",
            "won",
            "ok",
            "sent",
            "processed",
            "resolved",
            "matched",
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
            "differs",
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
    """
    A table on a page; *empty* is shown in its place when it has no rows.

    *numeric* names the headers of right-aligned columns: amounts and counts.
    """

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[DisplayValue]]
    empty: str = "None."
    numeric: Collection[str] = ()

    @property
    def cells(self) -> list[list[tuple[DisplayValue, str]]]:
        """Return the rows as (value, CSS class) pairs."""
        classes = ["b-number" if header in self.numeric else "" for header in self.headers]
        return [list(zip(row, classes, strict=True)) for row in self.rows]


@dataclass(frozen=True, slots=True)
class ActionButton:
    """A button that opens an action; *tone* is `primary`, `danger` or `plain`."""

    label: str
    url: str
    tone: str = "plain"


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One entry of a timeline."""

    at: datetime
    title: DisplayValue
    detail: DisplayValue = ""
    tone: str = ""
    order: int = 0  # among entries with the same time: causes before effects

    @property
    def time(self) -> DisplayValue:
        """Return the time to the second, because entries of one minute are common."""
        return format_datetime(self.at, with_seconds=True)


@dataclass(slots=True)
class DetailPage:
    """The contents of a detail page."""

    title: str
    status: DisplayValue = ""
    reason: str = ""
    details: list[tuple[str, DisplayValue]] = field(default_factory=list)
    buttons: list[ActionButton] = field(default_factory=list)
    tables: list[DetailTable] = field(default_factory=list)
    timeline: list[TimelineEntry] = field(default_factory=list)


def format_money(amount_minor: int, currency: str) -> DisplayValue:
    """Format an amount in minor units with its currency's digits: `1,234.50 EUR`."""
    return format_html('<span class="b-amount">{}</span>', str(Money(amount_minor, currency)))


def format_datetime(
    at: datetime | None, *, empty: str = "-", with_seconds: bool = False
) -> DisplayValue:
    """Format a time in the accounting time zone, which it names: `2026-12-01 14:05 UTC`."""
    if at is None:
        return empty
    local = at.astimezone(ZoneInfo(settings.current.time_zone))
    return format_html(
        '<time class="b-time" datetime="{}" title="{}">{}</time>',
        at.isoformat(),
        at.isoformat(timespec="milliseconds"),
        local.strftime("%Y-%m-%d %H:%M:%S %Z" if with_seconds else "%Y-%m-%d %H:%M %Z"),
    )


def format_date(day: date) -> DisplayValue:
    """Format a day of the accounting time zone: `2026-12-01`."""
    return format_html('<span class="b-time">{}</span>', day.isoformat())


def format_age(seconds: float) -> str:
    """Format a duration in the largest unit that fits: d, h, min or s."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


_ACRONYMS = {"id": "ID", "Id": "ID", "Api": "API", "url": "URL", "Url": "URL", "mfa": "MFA"}
#: Codes that are not spelled as their parts.
_SPELLINGS = {"over_captured": "overcaptured", "over_refunded": "overrefunded"}


def humanize(code: str) -> str:
    """Format a code for people: `insufficient_funds` as `insufficient funds`."""
    return _SPELLINGS.get(code) or code.replace("_", " ")


def format_label(code: str) -> str:
    """Format a code as a label: `payment_id` as `Payment ID`."""
    words = humanize(code).split(" ")
    return " ".join(_ACRONYMS.get(word, word) for word in [words[0].capitalize(), *words[1:]])


def format_action(action: str) -> str:
    """Format the action of an audit entry: `api_key.create` as `API key create`."""
    return format_label(action.replace(".", " "))


def format_status(name: str, label: str = "") -> DisplayValue:
    """Format a status as a word in its colour; *label* replaces the word."""
    return format_html(
        '<span class="b-state b-{}">{}</span>',
        STATUS_TONES.get(name, "plain"),
        label or format_label(name),
    )


def link(row: Model, label: object = "") -> DisplayValue:
    """Link to the detail page of a row."""
    name = f"admin:bursar_{row._meta.model_name}_change"
    return format_html(
        '<a class="b-link" href="{}">{}</a>', reverse(name, args=[quote(row.pk)]), label or row.pk
    )


def link_to(model: str, key: object, label: object = "") -> DisplayValue:
    """Link to the detail page of the row with *key*, without reading it."""
    if not key:
        return ""
    url = reverse(f"admin:bursar_{model}_change", args=[quote(str(key))])
    return format_html('<a class="b-link" href="{}">{}</a>', url, label or key)


def format_mapping(values: Mapping[str, object]) -> str:
    """Format a small JSON object on one line."""
    return ", ".join(f"{humanize(str(key))}: {value}" for key, value in values.items()) or "-"
