"""Liveness, readiness and metrics endpoints."""

from __future__ import annotations

import orjson
from django import db
from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from bursar import errors, logs, sql, triggers
from bursar.access import roles
from bursar.api import metrics
from bursar.api.middleware.auth import RequireScope
from bursar.db_reader import readers

router = APIRouter(include_in_schema=False)

log = logs.get(__name__)


@router.get("/healthz")
async def healthz() -> Response:
    """Liveness: the process responds."""
    return PlainTextResponse("ok")


@router.get("/readyz")
async def readyz() -> Response:
    """Readiness: the database responds, its settings are durable, and its triggers are there."""
    try:
        await readers.run(_check)
    except (errors.BursarError, db.Error) as error:
        log.error("readiness_check_failed", error=error)  # noqa: TRY400  (no bug: no traceback)
        code = error.code if isinstance(error, errors.BursarError) else "database_unavailable"
        return Response(
            orjson.dumps({"ready": False, "code": code}), 503, media_type="application/json"
        )
    return Response(orjson.dumps({"ready": True}), media_type="application/json")


def _check() -> None:
    sql.row("SELECT 1")
    triggers.check_durability()
    triggers.check_triggers()


_required_scope = RequireScope(roles.METRICS_READ)


@router.get("/metrics")
async def show_metrics() -> Response:
    """Metrics in the Prometheus text format; requires the scope `metrics:read`."""
    await _required_scope.check()
    text = await readers.run(metrics.render)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
