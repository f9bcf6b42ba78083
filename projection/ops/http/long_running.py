"""The endpoints for long operations: which there are, how far each is, and an early end."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import msgspec
from fastapi import APIRouter, Path, Request, Response

from projection.engine.tasks import TaskRecord, TaskUnknownError, encoded
from projection.errors import ConfigurationError
from projection.ops.http.described import TASK, answered, parameter
from projection.ops.http.event_stream import EventStream
from projection.ops.http.orders import FROM_OPERATORS
from projection.ops.http.parameters import none_expected, read_parameters
from projection.ops.http.problems import RequestError, documented
from projection.ops.http.service import service_of
from projection.store.audit import Author

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from projection.engine.tasks import Tasks

_JSON = "application/json"
_MAX_TEXT = 1_000  # characters of a name or a reason
_ALL_THERE_ARE = "`projection operations list` and GET /v1/operations name all there are"
_SILENCE_S = 10.0  # until a comment says that the stream is alive
router = APIRouter(prefix="/v1/operations", tags=["operations"], dependencies=FROM_OPERATORS)
Id = Annotated[str, Path(description="The operation's id.", examples=[TASK["id"]])]


class TaskList(msgspec.Struct, frozen=True):
    """The long operations that are kept."""

    operations: list[TaskRecord]  # the oldest first


@router.get(
    "",
    summary="Long operations",
    operation_id="operations",
    responses=answered("TaskList", {"operations": [TASK]}, "Those in progress, and the last ones that have ended."),
)
async def operations(request: Request) -> Response:
    """The oldest first; the last 200 are kept, over restarts as well."""
    none_expected(request.scope["query_string"])
    return _answer(TaskList(service_of(request).long.tasks.all()))


@router.get(
    "/{task_id}",
    summary="The progress or result of a long operation",
    operation_id="operation",
    responses={**documented("operation.unknown"), **answered("TaskRecord", TASK, "The operation.")},
)
async def operation(request: Request, task_id: Id) -> Response:
    """`result` is what the operation would have answered."""
    none_expected(request.scope["query_string"])
    return _answer(_found(service_of(request).long.tasks, task_id))


@router.delete(
    "/{task_id}",
    summary="Cancel a long operation",
    operation_id="cancelOperation",
    openapi_extra={
        "parameters": [
            parameter("by", "Who cancels it, for the audit.", {"type": "string"}, "alice"),
            parameter("reason", "Why.", {"type": "string"}, "it is too slow"),
        ]
    },
    responses={
        **documented("operation.refused", "operation.unknown"),
        **answered("TaskRecord", TASK, "It ends as soon as it can."),
    },
)
async def cancel(request: Request, task_id: Id) -> Response:
    """What it has not done by then is not done. One that is writing its effect ends by itself, and is not canceled."""
    given = read_parameters(request.scope["query_string"])
    none_expected(request.scope["query_string"], ("by", "reason"))
    service, told = service_of(request), dict(given)
    if len(told) < len(given):
        raise RequestError("http.invalid", "a parameter is there twice")
    _found(service.long.tasks, task_id)
    author = Author(told.get("by", "")[:_MAX_TEXT] or "somebody", service.door, told.get("reason", "")[:_MAX_TEXT])
    try:
        return _answer(service.long.tasks.cancel(task_id, author))
    except ConfigurationError as error:
        raise RequestError("operation.refused", error.message, hint=error.hint) from None


@router.get(
    "/{task_id}/events",
    summary="Follow a long operation",
    operation_id="operationEvents",
    responses={
        **documented("operation.unknown"),
        200: {
            "description": "Server-sent events, one for each change, until it has ended.",
            "content": {
                "text/event-stream": {
                    "schema": {"type": "string"},
                    "example": 'event: running\ndata: {"id":"5f3a9c0d1e2b","done":120000,"total":561470}\n\n',
                }
            },
        },
    },
)
async def events(request: Request, task_id: Id) -> Response:
    """Each event is called as the operation's state, and its data is the operation."""
    none_expected(request.scope["query_string"])
    service = service_of(request)
    _found(service.long.tasks, task_id)
    return EventStream(_frames(service.long.tasks, task_id), service.stopping)


async def _frames(tasks: Tasks, task_id: str) -> AsyncGenerator[bytes]:
    async with aclosing(tasks.watch(task_id)) as records:
        coming = asyncio.ensure_future(anext(records))
        try:
            while True:
                await asyncio.wait({coming}, timeout=_SILENCE_S)
                if not coming.done():
                    yield b":\n\n"
                    continue
                try:
                    record = coming.result()
                except StopAsyncIteration:
                    return
                name = record.state.replace(" ", "_").encode()
                yield b"event: %b\ndata: %b\n\n" % (name, encoded(record))
                coming = asyncio.ensure_future(anext(records))
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


def _found(tasks: Tasks, task_id: str) -> TaskRecord:
    try:
        return tasks.one(task_id)
    except TaskUnknownError as error:
        raise RequestError("operation.unknown", error.message, hint=_ALL_THERE_ARE) from None


def _answer(came: object) -> Response:
    return Response(encoded(came), media_type=_JSON)
