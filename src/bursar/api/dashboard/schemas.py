"""The shapes of the dashboard's answers."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from bursar.api.pricing_schemas import ResponseModel
from bursar.dashboard import live_state


class MeasurementResponse(ResponseModel):
    """One value of a source."""

    name: str
    value: float | str | None = Field(description="Null where the source answered without it.")
    unit: str
    level: live_state.Level


class TileResponse(ResponseModel):
    """One source: what it told last, and how that is."""

    key: str
    title: str
    group: str
    kind: live_state.Kind
    state: live_state.State
    readings: list[MeasurementResponse]
    as_of: datetime | None = Field(description="When the readings were obtained.")
    since: datetime = Field(description="Since when it is in this state.")
    reason: str
    seconds: float | None = Field(description="How long the last call took.")
    interval_seconds: float
    spark: list[float] = Field(
        max_length=live_state.SPARK_MAX,
        description="The newest points of the first number, else of the time taken; oldest first.",
    )


class BucketResponse(ResponseModel):
    """What a series was from *at* on, for one step."""

    at: datetime
    count: int
    low: float
    high: float
    mean: float
    last: float


class HistoryResponse(ResponseModel):
    """How one series of a source was: spans of *step_seconds*, oldest first, none where nothing came."""

    object: Literal["history"]
    key: str
    series: str
    step_seconds: int
    data: list[BucketResponse]


class DashboardResponse(ResponseModel):
    """The board, or with `Accept: text/event-stream` a stream of it: `board`, `changes`, `beat`."""

    object: Literal["dashboard"]
    position: str = Field(description="Give it as `after` or `Last-Event-ID` to go on from here.")
    at: datetime = Field(description="The time here, to tell ages by.")
    data: list[TileResponse]
