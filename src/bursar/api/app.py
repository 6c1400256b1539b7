"""The ASGI application: API, webhooks, dashboard, health, metrics and the back office."""

from __future__ import annotations

import importlib.metadata
from http import HTTPStatus
from pathlib import Path
from typing import Any

import fastapi_offline
from a2wsgi import WSGIMiddleware
from django.core.wsgi import get_wsgi_application
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from bursar import errors
from bursar.api import health, openapi, problem_details, validation_errors
from bursar.api.dashboard import routes as dashboard
from bursar.api.dashboard.event_stream import Streams
from bursar.api.middleware.request_middleware import RequestMiddleware
from bursar.api.routes import (
    facts,
    orders,
    payments,
    provider_accounts,
    quotes,
    refunds,
    reviews,
    webhooks,
)
from bursar.dashboard.views import html

_SWAGGER = Path(fastapi_offline.__file__).parent / "static"
_STATIC = Path(__file__).parents[1] / "admin" / "static"

_DOCS_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Bursar API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="/static/bursar/icon.svg">
<link rel="stylesheet" href="/static/docs/swagger-ui.css">
</head><body><main id="swagger-ui"></main>
<script src="/static/docs/swagger-ui-bundle.js"></script>
<script src="/static/bursar/docs.js"></script>
</body></html>"""


def create_app(*, admin: bool = True, api: bool = True, with_webhooks: bool = True) -> FastAPI:
    """
    Create the application, or a part of it: on PostgreSQL several processes may share the work.

    Needs `django.setup()`.
    """
    app = FastAPI(
        title="Bursar",
        version=importlib.metadata.version("bursar"),
        description=openapi.DESCRIPTION,
        openapi_tags=openapi.TAGS,
        generate_unique_id_function=lambda route: route.name,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        middleware=[Middleware(RequestMiddleware)],
    )
    app.state.streams = Streams()
    app.add_exception_handler(errors.BursarError, problem_details.handle_bursar_error)
    app.add_exception_handler(RequestValidationError, validation_errors.handle_validation_error)
    app.add_exception_handler(HTTPException, _handle_http_exception)
    if api:
        for routes in (quotes, orders, payments, refunds, reviews, provider_accounts, facts):
            app.include_router(routes.router)
        app.add_api_route("/docs", _docs, include_in_schema=False)
        app.add_api_route("/openapi.json", lambda: openapi.describe(app), include_in_schema=False)
    if with_webhooks:
        app.include_router(webhooks.router)
    if admin:
        app.include_router(dashboard.page)
    if admin or api:  # the page reads the dashboard's API
        app.include_router(dashboard.router)
        app.include_router(dashboard.status)
    app.include_router(health.router)
    app.add_api_route("/", _home, include_in_schema=False)
    app.mount("/static/docs", StaticFiles(directory=_SWAGGER))
    app.mount("/static/dashboard", StaticFiles(directory=html.STATIC))
    app.mount("/static/bursar", StaticFiles(directory=_STATIC / "bursar"))
    app.mount(
        "/static", StaticFiles(packages=[("unfold", "static"), ("django.contrib.admin", "static")])
    )
    if admin:
        # Faster in our measurements than Django's ASGI handler, which starts a thread per request.
        app.mount("/admin", WSGIMiddleware(get_wsgi_application(), workers=10))  # type: ignore[arg-type]
    app.openapi = lambda: openapi.describe(app)  # type: ignore[method-assign]
    return app


def all_routes(app: FastAPI) -> list[APIRoute]:
    """Return every route, including those of routers, without mounts."""
    routes: list[Any] = []
    for route in app.routes:
        router = getattr(route, "original_router", None)
        routes += router.routes if router is not None else [route]
    return [route for route in routes if isinstance(route, APIRoute)]


async def _handle_http_exception(request: Request, error: Exception) -> Response:
    """Handle errors of the router; a 405 lists the methods of all routes of the path."""
    response = await problem_details.handle_http_exception(request, error)
    if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        matching = [r for r in all_routes(request.app) if r.path_regex.match(request.url.path)]
        methods = {method for route in matching for method in route.methods or ()}
        response.headers["Allow"] = ", ".join(sorted(methods))
    return response


async def _docs() -> Response:
    return Response(_DOCS_PAGE, media_type="text/html")


async def _home() -> Response:
    return RedirectResponse("/admin/", 303)
