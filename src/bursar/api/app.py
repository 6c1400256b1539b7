"""The application: the API's routes, the hooks, health and metrics, and the back office beside it."""

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

from bursar import errors, settings
from bursar.access.idempotency import KEY_LETTERS_MAX
from bursar.api import health, problem_details, schemas
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

DESCRIPTION = """
Money is `{"amount": 1999, "currency": "EUR"}` in whole minor units. Send `Authorization: Bearer
bk_test_...`, and an `Idempotency-Key` with everything that changes something: the same request
again gets the same answer. Errors are `application/problem+json`; `code` is for programs.
"""

_SWAGGER = Path(fastapi_offline.__file__).parent / "static"
_OURS = Path(__file__).parents[1] / "admin" / "static"

_DOCS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Bursar API</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="/static/bursar/icon.svg">
<link rel="stylesheet" href="/static/docs/swagger-ui.css">
</head><body><main id="swagger-ui"></main>
<script src="/static/docs/swagger-ui-bundle.js"></script>
<script src="/static/bursar/docs.js"></script>
</body></html>"""


def create_app(*, admin: bool = True, api: bool = True, hooks_too: bool = True) -> FastAPI:
    """
    Make the application; a process on PostgreSQL may serve only a part of it.

    Django must have been set up.
    """
    app = FastAPI(
        title="Bursar",
        version=importlib.metadata.version("bursar"),
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        middleware=[Middleware(RequestMiddleware)],
    )
    app.state.streams = Streams()
    app.add_exception_handler(errors.BursarError, problem_details.handle_bursar_error)
    app.add_exception_handler(RequestValidationError, problem_details.handle_validation_error)
    app.add_exception_handler(HTTPException, _on_http)
    if api:
        for routes in (quotes, orders, payments, refunds, reviews, provider_accounts, facts):
            app.include_router(routes.router)
        app.add_api_route("/docs", _docs, include_in_schema=False)
        app.add_api_route("/openapi.json", lambda: _described(app), include_in_schema=False)
    if hooks_too:
        app.include_router(webhooks.router)
    if admin:
        app.include_router(dashboard.page)
    if admin or api:  # the page asks for the board too
        app.include_router(dashboard.router)
        app.include_router(dashboard.status)
    app.include_router(health.router)
    app.add_api_route("/", _home, include_in_schema=False)
    app.mount("/static/docs", StaticFiles(directory=_SWAGGER))
    app.mount("/static/dashboard", StaticFiles(directory=html.STATIC))
    app.mount("/static/bursar", StaticFiles(directory=_OURS / "bursar"))
    app.mount(
        "/static", StaticFiles(packages=[("unfold", "static"), ("django.contrib.admin", "static")])
    )
    if admin:
        # Measured faster than Django's own ASGI handler, which starts a thread a request.
        app.mount("/admin", WSGIMiddleware(get_wsgi_application(), workers=10))  # type: ignore[arg-type]
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


def all_routes(app: FastAPI) -> list[APIRoute]:
    """Every route of the API and beside it, those of included routers too; no mounts."""
    found: list[Any] = []
    for route in app.routes:
        within = getattr(route, "original_router", None)
        found += within.routes if within is not None else [route]
    return [route for route in found if isinstance(route, APIRoute)]


async def _on_http(request: Request, error: Exception) -> Response:
    """What the router refuses; with 405 all the methods of the path, not the first route's."""
    answer = await problem_details.handle_http_exception(request, error)
    if answer.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        matching = [r for r in all_routes(request.app) if r.path_regex.match(request.url.path)]
        methods = {method for route in matching for method in route.methods or ()}
        answer.headers["Allow"] = ", ".join(sorted(methods))
    return answer


async def _docs() -> Response:
    return Response(_DOCS, media_type="text/html")


def _describe_header(parameter: dict[str, Any]) -> None:
    """Say of a header what FastAPI cannot: none is null, and a key is needed (400, not 422)."""
    if parameter["in"] != "header":
        return
    parameter["schema"] = {"type": "string"}
    if parameter["name"] == "Idempotency-Key":
        parameter["required"] = True
        parameter["schema"] |= {
            "minLength": 1,
            "maxLength": KEY_LETTERS_MAX,
            "pattern": "^[!-~]+$",
        }


async def _home() -> Response:
    return RedirectResponse("/admin/", 303)


def _described(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1 of the routes, with how callers prove who they are and how errors look."""
    if app.openapi_schema is None:
        made = FastAPI.openapi(app)
        components = made.setdefault("components", {})
        components["securitySchemes"] = {
            "apiKey": {
                "type": "http",
                "scheme": "bearer",
                "description": f"`bk_{settings.current.mode}_...`; made by `bursar keys add`.",
            }
        }
        component_schemas = components.setdefault("schemas", {})
        template = "#/components/schemas/{model}"
        problem = schemas.ProblemDetails.model_json_schema(ref_template=template)
        component_schemas.update(problem.pop("$defs", {}))
        component_schemas["Problem"] = problem
        for unused in ("HTTPValidationError", "ValidationError"):
            component_schemas.pop(unused, None)
        for operation in (o for path in made["paths"].values() for o in path.values()):
            for parameter in operation.get("parameters", ()):
                _describe_header(parameter)
        app.openapi_schema = made
    return app.openapi_schema
