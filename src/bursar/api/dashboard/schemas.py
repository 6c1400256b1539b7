"""Response schemas of the dashboard."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from bursar.api.pricing_schemas import ResponseModel
from bursar.dashboard import live_state


class MeasurementResponse(ResponseModel):
    """One measured value of a monitor."""

    name: str = Field(description="Unique within the monitor.", examples=["eur_usd"])
    value: float | str | None = Field(
        description="Null if the response did not contain it.", examples=[1.0842]
    )
    unit: str = Field(description="A currency, a unit of measurement, or empty.", examples=["USD"])
    level: live_state.Level = Field(description="The level by the thresholds of the monitor.")
    decimals: int | None = Field(
        description="The number of decimal places to show, such as 3 for an amount in KWD; "
        "null: not specified.",
        examples=[4],
    )


class TileResponse(ResponseModel):
    """The latest status of one monitor."""

    key: str = Field(
        description="Identifies the monitor, such as `api:rates`.", examples=["api:rates"]
    )
    title: str = Field(description="Title of the tile.", examples=["Exchange rates"])
    group: str = Field(description="Group of the tile on the dashboard.", examples=["Providers"])
    kind: live_state.Kind = Field(description="Kind of the monitor.", examples=["api"])
    state: live_state.State = Field(
        description="`stale`: the last check failed, and the measurements are those of "
        "`last_success_at`. `failed`: no check has succeeded yet."
    )
    measurements: list[MeasurementResponse] = Field(
        description="Values of the last successful check."
    )
    last_success_at: datetime | None = Field(description="Time of the measurements.")
    state_since: datetime = Field(description="Time of the last change of `state`.")
    reason: str = Field(description="Why the last check failed; empty if it succeeded.")
    duration_seconds: float | None = Field(
        description="Duration of the last check.", examples=[0.21]
    )
    interval_seconds: float = Field(description="Check interval.", examples=[60.0])
    sparkline: list[float] = Field(
        max_length=live_state.SPARKLINE_POINTS_MAX,
        description="The latest points, oldest first, of the first numeric measurement, else of "
        "`duration_seconds`.",
        examples=[[1.0838, 1.0841, 1.0842]],
    )


class BucketResponse(ResponseModel):
    """The values of a series in one step."""

    starts_at: datetime = Field(description="Start of the step.")
    count: int = Field(description="Number of values.", examples=[5])
    min: float = Field(description="Smallest value.", examples=[1.0838])
    max: float = Field(description="Largest value.", examples=[1.0851])
    mean: float = Field(description="Arithmetic mean.", examples=[1.0845])
    last: float = Field(description="Latest value.", examples=[1.0842])


class HistoryResponse(ResponseModel):
    """The history of one series: buckets, oldest first; a step without values has no bucket."""

    object: Literal["history"] = Field(description="Object type.")
    key: str = Field(description="The key of the monitor.", examples=["api:rates"])
    series: str = Field(
        description="The name of a measurement, or `duration_seconds`.", examples=["eur_usd"]
    )
    step_seconds: int = Field(description="Duration of each bucket.", examples=[300])
    data: list[BucketResponse] = Field(description="The buckets.")


class DashboardResponse(ResponseModel):
    """All tiles. As an event stream: `snapshot`, `changes` and `heartbeat` events."""

    object: Literal["dashboard"] = Field(description="Object type.")
    last_event_id: str = Field(
        description="Send it as `Last-Event-ID` or `after` to receive only later changes.",
        examples=["3f9a1c72-17"],
    )
    server_time: datetime = Field(description="The time of the server, to calculate ages.")
    data: list[TileResponse] = Field(description="The tiles.")
