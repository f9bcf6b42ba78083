"""Why a query is not answered: one code each, which whoever carries queries maps to its own statuses."""

from __future__ import annotations

from projection.errors import ErrorClass, ProjectionError


class QueryError(ProjectionError):
    """A query that is not answered.

    Args:
        message: one sentence: what is wrong.
        hint: one sentence: what to do about it.
        code: as for every error.
        pointer: the JSON pointer (RFC 6901) of the part of the query that is meant.
        span: where in the text at the pointer: offsets in code points, the end exclusive.
        excerpt: the line of that text with the place marked below it, for people.
    """

    error_class = ErrorClass.REQUEST
    default_code = "query"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        code: str | None = None,
        pointer: str | None = None,
        span: tuple[int, int] | None = None,
        excerpt: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.pointer = pointer
        self.span = span
        self.excerpt = excerpt

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.message,), dict(self.__dict__))


class QueryInvalidError(QueryError):
    """The query cannot be understood: as it is, it never will be."""

    default_code = "query.invalid"


class FilterFailedError(QueryError):
    """The filter fails on a view that it was asked about: an entry that is not there, a number beyond its bounds."""

    default_code = "query.filter_failed"


class UnknownViewTypeError(QueryError):
    """No such view type is served."""

    default_code = "query.unknown_view_type"


class ViewMissingError(QueryError):
    """There is no such view."""

    default_code = "query.view_missing"


class QueryLimitError(QueryError):
    """The query takes more than one query may.

    Args:
        limit: the name of the limit, as in the settings.
        value: what it is.
        message: one sentence: what is beyond it.
        hint: how to ask for less.
        pointer: as for every query error.
    """

    default_code = "query.limit"

    def __init__(
        self,
        message: str,
        *,
        limit: str = "",
        value: int = 0,
        hint: str | None = None,
        pointer: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint, pointer=pointer)
        self.limit = limit
        self.value = value


class CursorInvalidError(QueryError):
    """The cursor was not made for this query of this tenant, or not here."""

    default_code = "query.cursor_invalid"


class CursorGoneError(QueryError):
    """The cursor belongs to a build that no longer answers."""

    default_code = "query.cursor_gone"


class NotFreshError(QueryError):
    """The views are not as fresh as the query wants them."""

    default_code = "query.not_fresh"


class QueryBusyError(QueryError):
    """As many queries are under way as may be at a time."""

    default_code = "query.busy"


class ChangesOffError(QueryError):
    """The view type keeps no changes."""

    default_code = "query.changes_off"


class HistoryGoneError(QueryError):
    """The log no longer holds what a view was made of."""

    default_code = "query.history_gone"
