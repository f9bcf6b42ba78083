"""Endpoints that describe the state of the node, its view types and its builds; they change nothing."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Request, Response

from projection import __version__
from projection.engine.inventory import build_states
from projection.engine.node_status import node_status, view_type_details
from projection.errors import ConfigurationError, StorageError, StreamError
from projection.history.planning import planned
from projection.model.ids import ViewType
from projection.ops.http.access import OfAnyone, OfOperator
from projection.ops.http.described import answered, parameter
from projection.ops.http.orders import came_of
from projection.ops.http.parameters import none_expected, read_number, read_texts
from projection.ops.http.problems import documented
from projection.ops.http.service import service_of
from projection.ops.http.status_examples import ACCESS, AUDIT, BUILD, DETAILS, PLAN, STATUS
from projection.query.errors import UnknownViewTypeError
from projection.stream.jetstream import JetStream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projection.engine.deploying import Step
    from projection.engine.inventory import BuildState
    from projection.history.planning import PlannedStep
    from projection.ops.http.service import Service
    from projection.store.build import Build
    from projection.store.port import ViewReader

_JSON = "application/json"
_MOST_RECORDS = 1_000
router = APIRouter(tags=["operations"])
Type = Annotated[str, Path(description="The view type.", examples=["fine_summary"])]


class AccessAnswer(msgspec.Struct, frozen=True):
    """What the credentials of a request permit."""

    mode: str  # `none`, `header` or `jwt`
    tenants: bool  # whether there are tenants; else all is the default tenant's
    tenant_id: str | None  # whose views may be read; null: nobody's
    operator: bool  # whether orders may be given


class BuildRecord(msgspec.Struct, frozen=True):
    """A build of the data folder."""

    view_type: str
    build: int
    state: str  # `answers`, `under way`, `waits`, `follows` or `former`
    why: str | None  # why it waits, does not answer any more, or has no store yet
    paused: str | None  # why its view type is; null where it is not
    bytes: int  # on the disk
    free: int | None  # of these, about what compaction gives back; of a build that the node has not open, null as below
    scanned: int | None
    views: int | None
    parked: int | None
    problem: str | None  # why its store cannot be read

    @classmethod
    def of(cls, one: BuildState) -> BuildRecord:
        """Make the record of a build that this process has inspected."""
        known = {name: getattr(one, name) for name in cls.__struct_fields__ if name not in ("view_type", "build")}
        return cls(view_type=str(one.build.view_type), build=one.build.number, **known)


class BuildList(msgspec.Struct, frozen=True):
    """The builds of the data folder; those of one view type in order, the oldest first."""

    builds: list[BuildRecord]


class BuildContents(msgspec.Struct, frozen=True):
    """A build, with its program and settings."""

    record: BuildRecord
    recipe: str  # JSON: program and manifest entry, as the orders `adopt` and `deploy` take one
    program_name: str
    program: str  # its text
    drops: list[dict[str, Any]]  # parked events that operators left out
    gate: dict[str, Any]  # when it may answer
    lineage: dict[str, Any] | None  # of which build it is an adopted copy


class StepPlanned(msgspec.Struct, frozen=True):
    """What a deployment would do with one view type, and what that would cost."""

    view_type: str
    change: str
    why: str  # what is different
    build: int | None  # that would be folded from then on; null where it is still to be made, or is none
    events: int | None  # to be read, at most; null: none, or not known
    seconds: float | None  # that folding them takes, about; null: nothing is folded, or not known
    seconds_rest_on: str | None  # what tells how fast folding is; null: nothing is folded, or nothing tells
    bytes: int | None  # on the disk, about
    reach: str | None  # which views the change can concern, in words
    folds: str | None  # which views fold anew, or why all do, in words; null where no new build replaces another


class PlanAnswer(msgspec.Struct, frozen=True):
    """What a reload, or another deployment, would do now."""

    steps: list[StepPlanned]


class AuditList(msgspec.Struct, frozen=True):
    """What operators have done, the newest first."""

    records: list[dict[str, Any]]


@router.get(
    "/v1/access",
    summary="What the credentials permit",
    operation_id="access",
    responses=answered("AccessAnswer", ACCESS, "The tenant of the credentials, and whether they are an operator's."),
)
async def access(request: Request, who: OfAnyone) -> Response:
    """For clients that offer only what is permitted, such as the console."""
    none_expected(request.scope["query_string"])
    service = service_of(request)
    tenancy = service.operations.settings.tenancy
    tenant_id = who.tenant_id if tenancy.enabled else tenancy.default
    named = None if tenant_id is None else str(tenant_id or tenancy.default)
    is_operator = service.access.is_operator(request.scope["headers"])
    return _answer(AccessAnswer(service.settings.access.mode, tenancy.enabled, named, is_operator))


@router.get(
    "/v1/status",
    summary="The state of the node and its view types",
    operation_id="status",
    responses=answered("NodeStatus", STATUS, "The view types, and the positions of their builds."),
)
async def status(request: Request, who: OfAnyone) -> Response:
    """Operators also get counts, troubles, and the builds that do not answer."""
    del who  # only that it is somebody
    none_expected(request.scope["query_string"])
    service = service_of(request)
    is_operator = service.access.is_operator(request.scope["headers"])
    return _answer(node_status(service.node, service.operations.catalog, __version__, for_operators=is_operator))


@router.get(
    "/v1/status/{view_type}",
    summary="The details of a view type",
    operation_id="viewTypeStatus",
    dependencies=[OfOperator],
    responses={
        **documented("query.unknown_view_type"),
        **answered("ViewTypeDetails", DETAILS, "The builds that the node folds: gas, digests, indexes, hot views."),
    },
)
async def view_type_status(request: Request, view_type: Type) -> Response:
    """Gas and hot views are counted since the build was opened."""
    none_expected(request.scope["query_string"])
    service = service_of(request)
    try:
        found = view_type_details(service.node, service.operations.catalog, ViewType(view_type))
    except (ConfigurationError, ValueError):
        raise _unknown(view_type) from None
    return _answer(found)


@router.get(
    "/v1/builds",
    summary="The builds of the data folder",
    operation_id="builds",
    dependencies=[OfOperator],
    openapi_extra={
        "parameters": [parameter("view_type", "Only those of a view type.", {"type": "string"}, "fine_summary")]
    },
    responses={
        **documented("query.unknown_view_type"),
        **answered("BuildList", {"builds": [BUILD]}, "Their states, positions and sizes."),
    },
)
async def builds(request: Request) -> Response:
    """For builds that the node has not opened, only the size on the disk is known."""
    given = read_texts(request.scope["query_string"], ("view_type",))
    states = await _states(service_of(request), given.get("view_type"))
    return _answer(BuildList([BuildRecord.of(one) for one in states]))


@router.get(
    "/v1/builds/{view_type}/{build}",
    summary="One build, with its program",
    operation_id="build",
    dependencies=[OfOperator],
    responses={
        **documented("query.unknown_view_type"),
        **answered(
            "BuildContents",
            {
                "record": BUILD,
                "recipe": "{…}",
                "program_name": "fine_summary.proj",
                "program": "proj 1\nprojection fine_summary\n",
                "drops": [{"sequence": 1024, "tenant_id": "north", "view_id": "A1"}],
                "gate": {"promote": None, "although_parked": False, "rolled_back": False},
                "lineage": None,
            },
            "Its program and settings, and the operators' decisions about it.",
        ),
    },
)
async def build(
    request: Request,
    view_type: Type,
    build: Annotated[str, Path(description="The number of the build.", examples=["3"])],
) -> Response:
    """The operations `adopt` and `deploy` accept the recipe."""
    none_expected(request.scope["query_string"])
    states = await _states(service_of(request), view_type)
    one = next((state for state in states if str(state.build.number) == build), None)
    if one is None:
        raise UnknownViewTypeError(
            f"view type {view_type[:80]!r} has no build {build[:20]!r}", hint="GET /v1/builds names all there are"
        )
    program = json.loads(one.build.recipe)["program"]
    made_of = one.made_of
    contents = BuildContents(
        record=BuildRecord.of(one),
        recipe=one.build.recipe,
        program_name=program["name"],
        program=program["text"],
        drops=made_of["drops"],
        gate=made_of["gate"],
        lineage=made_of["lineage"],
    )
    return _answer(contents)


@router.get(
    "/v1/plan",
    summary="What a reload would do",
    operation_id="plan",
    dependencies=[OfOperator],
    responses={
        **documented("operation.refused", "operation.unavailable"),
        **answered("PlanAnswer", PLAN, "What would be done with each view type, why, and what that would cost."),
    },
)
async def plan(request: Request) -> Response:
    """The node reads its own manifest again and checks it, and changes nothing. Figures are estimates."""
    none_expected(request.scope["query_string"])
    service = service_of(request)
    return _answer(await plan_answer(service, await came_of(service.operations.steps_of_reload)))


@router.get(
    "/v1/audit",
    summary="What operators have done",
    operation_id="audit",
    dependencies=[OfOperator],
    openapi_extra={
        "parameters": [
            parameter("limit", "How many records.", {"type": "integer", "minimum": 1, "maximum": _MOST_RECORDS}, 50)
        ]
    },
    responses=answered("AuditList", {"records": [AUDIT]}, "When, who, by which interface, what and why."),
)
async def audit(request: Request) -> Response:
    """The newest first."""
    limit = read_number(read_texts(request.scope["query_string"], ("limit",)), "limit", 50, _MOST_RECORDS)
    records = await asyncio.to_thread(service_of(request).operations.catalog.audit)
    return _answer(AuditList([one.as_json() for one in reversed(records[-limit:])]))


async def _states(service: Service, view_type: str | None) -> list[BuildState]:
    catalog, named = service.operations.catalog, None
    if view_type is not None:
        try:
            named = catalog.require(ViewType(view_type)).view_type
        except (ConfigurationError, ValueError):
            raise _unknown(view_type) from None
    return await asyncio.to_thread(build_states, catalog, named, _open_stores(service))


def _open_stores(service: Service) -> Callable[[Build], ViewReader | None]:
    """Return the stores that this process has open, which must not be opened twice."""
    node, serving = service.node, service.queries.serving
    found: dict[tuple[ViewType, int], ViewReader] = {}
    for view_type in service.operations.catalog.view_types():
        with suppress(StorageError):  # it is told of as a build whose store cannot be read
            served = serving.of(view_type)
            found[view_type, served.number] = served.reader
    for lane in node.lanes:
        found[lane.view_type, lane.build] = lane.store
    return lambda build: found.get((build.view_type, build.number))


async def plan_answer(service: Service, steps: Sequence[Step]) -> PlanAnswer:
    """What some steps of a deployment take.

    Raises:
        StorageError: the folder cannot be read.
    """
    found = await asyncio.to_thread(planned, service.operations.catalog, steps, _open_stores(service))
    for one in found:
        if one.folds is not None:
            await _count_events(service, one)
    return PlanAnswer([_step(one) for one in found])


async def _count_events(service: Service, one: PlannedStep) -> None:
    """Count the events that a step would read; unknown if the log cannot be reached."""
    with suppress(StreamError):
        log = service.past.log_for("plan")
        assert one.folds is not None  # noqa: S101 - it is asked for such steps only
        info = await JetStream(service.node.opener.nats).stream_info(service.operations.settings.stream)
        start = max(one.after or 0, await log.before_start(one.folds.deployed))
        one.events = max(0, info.state.last_seq - start)


def _step(one: PlannedStep) -> StepPlanned:
    known = one.step.known_build
    return StepPlanned(
        view_type=str(one.step.view_type),
        change=one.step.change,
        why=one.step.why,
        build=None if known is None else known.number,
        events=one.events,
        seconds=None if one.seconds is None else round(one.seconds, 1),
        seconds_rest_on=one.rests_on,
        bytes=one.bytes,
        reach=None if one.reach is None else one.reach.in_words,
        folds=one.in_words,
    )


def _unknown(view_type: str) -> UnknownViewTypeError:
    return UnknownViewTypeError(f"there is no view type {view_type[:80]!r}", hint="GET /v1/status names all there are")


def _answer(found: object) -> Response:
    return Response(msgspec.json.encode(found), media_type=_JSON)
