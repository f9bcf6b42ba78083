"""The application: all endpoints, and one answer to everything that goes wrong in them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from projection.errors import ProjectionError
from projection.ops.http import (
    building,
    changes,
    console,
    inspecting,
    long_running,
    operating,
    operations,
    status,
    views,
)
from projection.ops.http.front import Front
from projection.ops.http.openapi import openapi
from projection.ops.http.problems import RequestError, response_of

if TYPE_CHECKING:
    from projection.ops.http.service import Service


def application(service: Service) -> Front:
    """The ASGI application that serves a node."""
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        redirect_slashes=False,
        default_response_class=Response,  # endpoints say themselves what they answer
    )
    app.state.service = service
    for router in (
        views.router,
        changes.router,
        operating.router,
        building.router,
        long_running.router,
        operations.router,
        status.router,
        inspecting.router,
        console.router,
    ):
        app.include_router(router)
    app.router.routes.insert(0, views.VIEW_ROUTE)
    document = cache(lambda: openapi(app))

    def described() -> dict[str, Any]:
        return document()

    app.openapi = described  # type: ignore[method-assign]
    for kind in (ProjectionError, HTTPException, RequestValidationError, views.GoneError, Exception):
        app.add_exception_handler(kind, _answer)
    return Front(app, service)


async def _answer(request: Request, error: Exception) -> Response:
    """The answer to a request that an error came of; `Front` logs what is nobody's intention."""
    match error:
        case HTTPException(status_code=404):
            error = RequestError("http.not_found", "there is no such address", hint="/openapi.json lists all addresses")
        case HTTPException(status_code=405):
            allowed = (error.headers or {}).get("Allow", "other methods")
            error = RequestError(
                "http.method_not_allowed",
                f"{request.method} is not for this address",
                hint=f"it takes {allowed}; a query is sent to /v1/query by POST",
                headers=error.headers,
            )
        case RequestValidationError():
            error = RequestError("http.invalid", "the request's parameters do not fit")
        case views.GoneError():
            return Response(status_code=499)  # nobody reads it
    return response_of(error, request.state.request_id)
