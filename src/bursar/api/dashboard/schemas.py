"""Response schemas of the dashboard."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from bursar.api.pricing_schemas import ResponseModel
from bursar.dashboard import live_state


class MeasurementResponse(ResponseModel):
    """One measured value of a monitor."""

    name: str = Field(description="Unique within the monitor.")
    value: float | str | None = Field(description="Null if the response did not contain it.")
    unit: str = Field(description="A currency, a unit of measurement, or empty.")
    level: live_state.Level = Field(description="The level by the thresholds of the monitor.")
    decimals: int | None = Field(
        description="The number of decimal places to show, such as 3 for an amount in KWD; "
        "null: not specified."
    )


class TileResponse(ResponseModel):
    """The latest status of one monitor."""

    key: str = Field(description="Identifies the monitor, such as `api:rates`.")
    title: str
    group: str
    kind: live_state.Kind
    state: live_state.State = Field(
        description="`stale`: the last check failed, and the measurements are those of "
        "`last_success_at`. `failed`: no check has succeeded yet."
    )
    measurements: list[MeasurementResponse]
    last_success_at: datetime | None = Field(description="Time of the measurements.")
    state_since: datetime = Field(description="Time of the last change of `state`.")
    reason: str = Field(description="Why the last check failed; empty if it succeeded.")
    duration_seconds: float | None = Field(description="Duration of the last check.")
    interval_seconds: float = Field(description="Check interval.")
    sparkline: list[float] = Field(
        max_length=live_state.SPARKLINE_POINTS_MAX,
        description="The latest points, oldest first, of the first numeric measurement, else of "
        "`duration_seconds`.",
    )


class BucketResponse(ResponseModel):
    """The values of a series in one step."""

    starts_at: datetime
    count: int = Field(description="Number of values.")
    min: float
    max: float
    mean: float
    last: float


class HistoryResponse(ResponseModel):
    """The history of one series: buckets, oldest first; a step without values has no bucket."""

    object: Literal["history"]
    key: str = Field(description="The key of the monitor.")
    series: str = Field(description="The name of a measurement, or `duration_seconds`.")
    step_seconds: int = Field(description="Duration of each bucket.")
    data: list[BucketResponse]


class DashboardResponse(ResponseModel):
    """All tiles. As an event stream: `snapshot`, `changes` and `heartbeat` events."""

    object: Literal["dashboard"]
    last_event_id: str = Field(
        description="Send it as `Last-Event-ID` or `after` to receive only later changes."
    )
    server_time: datetime = Field(description="The time of the server, to calculate ages.")
    data: list[TileResponse]
