"""What can go wrong between a client and a node: one exception for each code that a caller may want to act upon."""

from __future__ import annotations

from typing import Any

import msgspec

from projection.errors import ErrorClass, ProjectionError


class ClientError(ProjectionError):
    """The root of what a client raises. `code` is the node's own, from the problem details of its answer.

    Args:
        message: what is wrong, in one sentence.
        hint: what to do about it.
        code: the node's code, such as `query.limit`.
        status: the HTTP status; None where no answer came.
        pointer: where in the query it is wrong, as a JSON pointer.
        excerpt: for people: the filter, with the place marked.
        retry_after: seconds after which the node wants to be asked again.
    """

    error_class = ErrorClass.INFRASTRUCTURE
    default_code = "client"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        code: str | None = None,
        status: int | None = None,
        pointer: str | None = None,
        excerpt: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.status = status
        self.pointer = pointer
        self.excerpt = excerpt
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[object, ...]:
        return (_again, (type(self), self.message, {**self.__dict__}))


def _again(kind: type[ClientError], message: str, state: dict[str, Any]) -> ClientError:
    error = kind(message)
    error.__dict__.update(state)
    return error


class UnreachableError(ClientError):
    """There was no answer: no connection, or none in time."""

    default_code = "client.unreachable"


class AnswerUnreadableError(ClientError):
    """The answer is not from a node, or not one that this client understands."""

    default_code = "client.answer"


class AccessRefusedError(ClientError):
    """The credentials are missing, wrong or insufficient."""

    error_class = ErrorClass.REQUEST
    default_code = "access"


class QueryInvalidError(ClientError):
    """The query is wrong; `pointer` says where."""

    error_class = ErrorClass.REQUEST
    default_code = "query.invalid"


class FilterFailedError(ClientError):
    """The filter fails on a view."""

    error_class = ErrorClass.REQUEST
    default_code = "query.filter_failed"


class UnknownViewTypeError(ClientError):
    """The node has no such view type."""

    error_class = ErrorClass.REQUEST
    default_code = "query.unknown_view_type"


class ViewMissingError(ClientError):
    """The tenant has no view of this id."""

    error_class = ErrorClass.REQUEST
    default_code = "query.view_missing"


class LimitExceededError(ClientError):
    """The query exceeds a limit; the hint says how to narrow it."""

    error_class = ErrorClass.REQUEST
    default_code = "query.limit"


class CursorInvalidError(ClientError):
    """The cursor, or the event id, belongs to another tenant or query, or is invalid."""

    error_class = ErrorClass.REQUEST
    default_code = "query.cursor_invalid"


class CursorGoneError(ClientError):
    """Another build answers now: start again at the first page."""

    default_code = "query.cursor_gone"


class HistoryGoneError(ClientError):
    """The log no longer has the events of the view."""

    error_class = ErrorClass.REQUEST
    default_code = "query.history_gone"


class NotFreshError(ClientError):
    """The views are not as fresh as requested."""

    default_code = "query.not_fresh"


class BusyError(ClientError):
    """The node is busy; `retry_after` says when to try again."""

    default_code = "query.busy"


class ChangesOffError(ClientError):
    """The view type keeps no record of its changes; its manifest entry can opt in."""

    error_class = ErrorClass.REQUEST
    default_code = "query.changes_off"


class ServerFailedError(ClientError):
    """The node failed, or is not ready."""

    default_code = "client.server_failed"


_BY_CODE = {
    kind.default_code: kind
    for kind in (
        QueryInvalidError,
        FilterFailedError,
        UnknownViewTypeError,
        ViewMissingError,
        LimitExceededError,
        CursorInvalidError,
        CursorGoneError,
        HistoryGoneError,
        NotFreshError,
        BusyError,
        ChangesOffError,
    )
}
_BY_STATUS = {401: AccessRefusedError, 403: AccessRefusedError, 429: BusyError}


class _Problem(msgspec.Struct):
    """Problem details (RFC 9457), as far as they matter here."""

    title: str = ""
    detail: str = ""
    code: str | None = None
    hint: str | None = None
    pointer: str | None = None
    excerpt: str | None = None
    status: int | None = None
    request_id: str | None = None


def refusal(status: int, body: bytes, retry_after: str | None) -> ClientError:
    """The exception for an answer that is no success."""
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except msgspec.MsgspecError:
        problem = _Problem()  # a proxy's page, say
    kind = _BY_CODE.get(problem.code or "") or _BY_STATUS.get(status)
    message, hint = problem.detail or problem.title or f"the server answered {status}", problem.hint
    if kind is None and status >= 500:
        kind = ServerFailedError
        message = f"the server answered {status}: {message}"
        hint = f"its log has more, under the request id {problem.request_id}" if problem.request_id else hint
    return (kind or ClientError)(
        message,
        hint=hint,
        code=problem.code,
        status=problem.status or status,
        pointer=problem.pointer,
        excerpt=problem.excerpt,
        retry_after=float(retry_after) if retry_after is not None and retry_after.isdecimal() else None,
    )
