"""Problem details (RFC 9457): what is answered when a request is not, one kind for each code."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from starlette.responses import Response

from projection.errors import ErrorClass, ProjectionError
from projection.query.errors import QueryError, QueryLimitError

if TYPE_CHECKING:
    from collections.abc import Mapping

MEDIA_TYPE = "application/problem+json"
TYPE = "/problems/"  # of a problem: this and its code; a name, at which nothing is served
RETRY_AFTER_S = 1


class Kind(NamedTuple):
    """What all problems of one code have in common."""

    status: int
    title: str


KINDS = {
    "access.denied": Kind(401, "The credentials are not accepted"),
    "access.forbidden": Kind(403, "The credentials do not permit this"),
    "access.host": Kind(421, "The request is meant for another host"),
    "access.missing": Kind(401, "Credentials are missing"),
    "http.busy": Kind(503, "The server is overloaded"),
    "http.head_too_large": Kind(431, "Address and headers are too large"),
    "http.invalid": Kind(400, "The request cannot be understood"),
    "http.media_type": Kind(415, "The body must be plain JSON"),
    "http.method_not_allowed": Kind(405, "The address does not support this method"),
    "http.not_found": Kind(404, "There is nothing at this address"),
    "http.slow": Kind(408, "The request did not arrive in time"),
    "http.too_large": Kind(413, "The body is too large"),
    "internal": Kind(500, "The server has a fault"),
    "operation.refused": Kind(409, "The operation is not possible as requested"),
    "operation.unavailable": Kind(503, "The operation is not possible now"),
    "operation.unknown": Kind(404, "There is no such operation"),
    "query.busy": Kind(429, "Too many requests are in progress"),
    "query.changes_off": Kind(409, "The view type keeps no changes"),
    "query.cursor_gone": Kind(410, "The build that the cursor belongs to no longer answers"),
    "query.cursor_invalid": Kind(400, "The cursor does not belong to this query"),
    "query.filter_failed": Kind(422, "The filter fails on a view"),
    "query.history_gone": Kind(410, "The log no longer has the events of the view"),
    "query.invalid": Kind(400, "The query cannot be understood"),
    "query.limit": Kind(422, "The query exceeds a limit"),
    "query.log_unavailable": Kind(503, "The log cannot be read now"),
    "query.not_fresh": Kind(412, "The views are not fresh enough"),
    "query.unknown_view_type": Kind(404, "There is no such view type"),
    "query.view_missing": Kind(404, "There is no such view"),
    "storage": Kind(503, "The store cannot be read now"),
}
_RETRIED = ("http.busy", "query.busy", "query.log_unavailable", "storage")


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A problem as it is sent."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    hint: str | None = None
    pointer: str | None = None  # JSON pointer into the query
    span: list[int] | None = None  # begin and end in the text at the pointer, in code points
    excerpt: str | None = None  # that text with the place marked, for people
    limit: str | None = None  # the setting that is the limit
    value: int | None = None  # what it is


class RequestError(ProjectionError):
    """A request that is refused before any query is asked.

    Args:
        code: one of `KINDS`; it says the status.
        detail: one sentence: what is wrong.
        hint: one sentence: what to do about it.
        headers: to be sent with the refusal.
    """

    error_class = ErrorClass.REQUEST
    default_code = "http.invalid"

    def __init__(
        self, code: str, detail: str, *, hint: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail, hint=hint, code=code)
        self.headers = dict(headers or {})


def problem_of(error: Exception, request_id: str) -> Problem:
    """What is told of an error: all of what concerns the request, and nothing of what is inside."""
    if isinstance(error, (QueryError, RequestError)):
        fields: dict[str, Any] = {"detail": error.message, "hint": error.hint}
        if isinstance(error, QueryError):
            fields |= {
                "pointer": error.pointer,
                "span": list(error.span) if error.span else None,
                "excerpt": error.excerpt,
            }
        if isinstance(error, QueryLimitError):
            fields |= {"limit": error.limit, "value": error.value}
        return _problem(error.code, request_id, **fields)
    if isinstance(error, ProjectionError) and error.error_class is ErrorClass.INFRASTRUCTURE:
        return _problem("storage", request_id, detail="the node's log tells why", hint="try again later")
    return _problem("internal", request_id, detail="the node's log tells more, by this request_id")


def _problem(code: str, request_id: str, **fields: Any) -> Problem:
    kind = KINDS[code]
    return Problem(type=TYPE + code, title=kind.title, status=kind.status, code=code, request_id=request_id, **fields)


def response_of(error: Exception, request_id: str) -> Response:
    """The answer to a request that an error came of."""
    problem = problem_of(error, request_id)
    headers = dict(error.headers) if isinstance(error, RequestError) else {}
    if problem.code in _RETRIED:
        headers.setdefault("retry-after", str(RETRY_AFTER_S))
    return Response(msgspec.json.encode(problem), problem.status, headers, MEDIA_TYPE)


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """These problems for the OpenAPI document: by status, each code with an example."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        kind = KINDS[code]
        status = found.setdefault(
            kind.status,
            {
                "description": HTTPStatus(kind.status).phrase,
                "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}},
            },
        )
        example = _problem(code, "5f3a9c0d1e2b4a67", detail="what is wrong, in one sentence")
        status["content"][MEDIA_TYPE]["examples"][code] = {"value": msgspec.to_builtins(example)}
    return found
