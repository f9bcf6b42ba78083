"""What queries answer: structures that msgspec writes as JSON; views are in them as they are stored."""

from __future__ import annotations

from typing import Any

import msgspec


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What every answer says of what it was read from."""

    build: int  # the build that answered
    program: str  # the digest of its program
    scanned: int  # all events of the log up to this sequence are in it
    as_of: str | None  # the time up to which all events are in it; RFC 3339; None where nothing was read yet
    lag_s: float | None  # how long ago that was, by this machine's clock


class TenantAnswer(Answer, frozen=True, kw_only=True, gc=False):
    """What an answer says besides of the tenant whose views are in it."""

    incomplete: bool  # whether any view may lack an event: one has reached no view, or the tenant is suspended


class ViewAnswer(TenantAnswer, frozen=True, kw_only=True, gc=False):
    """One view."""

    id: str
    view: msgspec.Raw
    degraded: bool  # whether events of this view are missing from it: they are parked, or it is suspended


class PastViewAnswer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One view as it was."""

    build: int  # whose program made it
    program: str  # the digest of that
    at: int  # behind which event of the log
    events: int  # of the log that were read for it
    id: str
    view: msgspec.Raw
    degraded: bool  # whether events of this view were missing from it
    incomplete: bool  # whether any view of the tenant may have lacked an event


class HistoryReason(msgspec.Struct, frozen=True):
    """Why a view did not take an event."""

    code: str
    message: str
    place: str | None  # `file:line:column` of the program


class HistoryEvent(msgspec.Struct, frozen=True):
    """An event of the log, and what became of it at a view."""

    sequence: int
    event_type: str | None  # null, as the next two, where it is no event that can be read
    timestamp: str | None
    event_id: str | None
    outcome: str  # `made`, `changed`, `deleted`, `unchanged`, `parked`, `waits`, `skipped`, `dropped` or `halted`
    reached_view: bool  # false: it reached no view, and may have been meant for this one
    lines: list[int]  # of the program, that ran for it
    gas: int
    changes: list[dict[str, Any]]  # `path`, `before` and `after`; what is not there is left out
    reason: HistoryReason | None


class HistoryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The events that made a view."""

    build: int  # whose program folded them
    program: str  # the digest of that
    id: str
    at: int  # behind which event of the log
    view: Any  # as it was then, as it is stored; null where there was none
    events: list[HistoryEvent]  # the last ones, in the log's order
    left_out: int  # earlier ones
    agrees: bool | None  # whether the build holds the same view; null where that cannot be compared


class FoundView(msgspec.Struct, frozen=True, gc=False):
    """A view of a page, or what was selected of it."""

    id: str
    view: msgspec.Raw


class QueryAnswer(TenantAnswer, frozen=True, kw_only=True):
    """One page of what a query found, in its order."""

    views: list[FoundView]
    next: str | None  # the cursor of the next page; None where this is the last one
    count: int | None  # of all that match, on whatever page; None where it was not asked for
    degraded: list[str]  # the ids of this page that lack events; and those asked for by id that so are not there


class Unused(msgspec.Struct, frozen=True):
    """An index that a plan does not use, and why."""

    index: str
    why: str


class Explanation(Answer, frozen=True, kw_only=True):
    """How a query was executed, and its cost."""

    plan: str  # in words
    index: str | None  # as it is declared; None where none is used
    ranges: int  # parts of the index, or of all views, that were gone through
    order: str  # "index", "id": the views came in the query's order; "sorted": they were sorted, all that matched
    examined: int  # views that were looked at
    returned: int  # views of the page
    gas: int  # of the filter
    ms: float
    unused: list[Unused]


class CatalogIndex(msgspec.Struct, frozen=True):
    """An index of a view type."""

    by: str  # as it is declared
    built: bool  # whether queries use it; else it is being built


class CatalogEntry(Answer, frozen=True, kw_only=True):
    """A view type, as its serving build has it."""

    view: str
    json_schema: dict[str, Any]  # of a view
    indexes: list[CatalogIndex]
    builds: list[int]  # all there are
    changes: bool  # whether its changes can be followed


class CatalogAnswer(msgspec.Struct, frozen=True):
    """The view types that can be asked for."""

    views: list[CatalogEntry]
