"""The endpoints for those who operate a node: is it alive, is it ready, and its numbers."""

from __future__ import annotations

import msgspec
from fastapi import APIRouter, Request, Response

from projection.ops.http.access import OfOperator
from projection.ops.http.described import answered
from projection.ops.http.parameters import none_expected
from projection.ops.http.problems import documented
from projection.ops.http.service import service_of

router = APIRouter(tags=["operations"])

_JSON = "application/json"


class Health(msgspec.Struct, frozen=True):
    """That the server answers."""

    status: str


class Readiness(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether the node follows the log with all its view types, and has caught up with it once since it started."""

    ready: bool
    # For operators only, as the numbers of others are in it:
    troubles: dict[str, str] | None = None  # what keeps the node from being ready, by what it concerns
    events_to_go: int | None = None  # until it has caught up; left out where it has, or where that is not known yet
    catch_up_s: float | None = None  # seconds that this will take, if it goes on so; left out where nobody knows
    paused: dict[str, str] = {}  # view types of which nothing is folded until they are resumed, and why
    waiting: dict[str, str] = {}  # view types of which a build has caught up and does not answer yet, and why


@router.get(
    "/health",
    summary="Whether the process answers",
    operation_id="health",
    responses=answered("Health", {"status": "ok"}, "It does."),
)
async def health(request: Request) -> Response:
    """Restart the process where this fails. It says nothing of the node's work: that is `/ready`."""
    none_expected(request.scope["query_string"])
    return Response(msgspec.json.encode(Health("ok")), media_type=_JSON)


@router.get(
    "/ready",
    summary="Whether the node has caught up with the log and follows it",
    operation_id="ready",
    responses={
        **answered("Readiness", {"ready": True}, "It does."),
        503: {
            "description": "It has not caught up yet, does not follow the log, or is stopping. Views can be read "
            "all the same.",
            "content": {
                _JSON: {
                    "schema": {"$ref": "#/components/schemas/Readiness"},
                    "example": {
                        "ready": False,
                        "troubles": {"view type pages": "it is catching up with the log: 150,000 events to go"},
                        "events_to_go": 150_000,
                        "catch_up_s": 4.8,
                    },
                }
            },
        },
    },
)
async def ready(request: Request) -> Response:
    """For everybody, yes or no. With an operator's credentials, also why."""
    none_expected(request.scope["query_string"])
    service = service_of(request)
    node = service.node
    is_ready = node.is_ready
    readiness = Readiness(is_ready)
    if service.access.is_operator(request.scope["headers"]):
        paused = {str(view_type): reason for view_type, reason in node.roster.paused.items()}
        seconds = node.health.catch_up_s
        readiness = Readiness(
            is_ready,
            node.health.unready(),
            node.health.events_to_go,
            None if seconds is None else round(seconds, 1),
            paused,
            {str(view_type): f"build {one.build}: {one.why}" for view_type, one in node.health.waiting.items()},
        )
    return Response(msgspec.json.encode(readiness), 200 if is_ready else 503, media_type=_JSON)


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    operation_id="metrics",
    dependencies=[OfOperator],
    responses={
        **documented("access.forbidden"),
        200: {
            "description": "All metrics of the node (docs/metrics.md), as text; with exemplars as OpenMetrics, where "
            "`accept` asks for that.",
            "content": {
                "text/plain": {
                    "schema": {"type": "string"},
                    "example": 'projection_scanned_sequence{build="1",view_type="fine_summary"} 9',
                },
                "application/openmetrics-text": {
                    "schema": {"type": "string"},
                    "example": 'projection_scanned_sequence{build="1",view_type="fine_summary"} 9',
                },
            },
        },
    },
)
async def metrics(request: Request) -> Response:
    """The node's numbers in the text format of Prometheus."""
    none_expected(request.scope["query_string"])
    text, media_type = await service_of(request).metrics.exposition(request.headers.get("accept", ""))
    return Response(text, headers={"content-type": media_type})
