"""What a node answers, as typed values.

A view is a dict as its JSON says; its numbers are `int` or `Decimal`, never float. Fields that a newer node adds are
passed over.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from decimal import Decimal
from typing import Any, Literal, TypeVar

import msgspec

_Value = TypeVar("_Value")


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What every answer says of the views that it was read from."""

    build: int
    """The number of the build that answered."""
    program: str
    """The digest of the program that folded it."""
    scanned: int
    """The stream's sequence up to which all events are in the answer."""
    as_of: datetime | None = None
    """The log's time at `scanned`."""
    lag_s: float | None = None
    """How long ago that was, in seconds; 0 where the node is level with the log, None where nobody knows."""


class View(Told, frozen=True, kw_only=True):
    """One view."""

    id: str
    view: dict[str, Any]
    degraded: bool = False
    """Whether events of this view are parked, or it is suspended: it lacks their effect."""
    incomplete: bool = False
    """Whether any view of the tenant may lack an event: one has reached no view, or the tenant is suspended."""
    etag: str | None = None
    """For the next `view(…, etag=…)`, which answers None where the view is the same."""


class PastView(msgspec.Struct, frozen=True, kw_only=True):
    """One view as it was."""

    build: int
    """The number of the build whose program made it."""
    program: str
    """The digest of that."""
    at: int
    """Behind which event of the log."""
    events: int
    """Of the log, that were read for it."""
    id: str
    view: dict[str, Any]
    degraded: bool = False
    """Whether events of this view were missing from it."""
    incomplete: bool = False
    """Whether any view of the tenant may have lacked an event."""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One view among others."""

    id: str
    view: dict[str, Any]


class Page(Told, frozen=True, kw_only=True):
    """Some views of a query, in its order."""

    views: list[Found]
    next: str | None = None
    """The cursor of the next page; None where there is none."""
    count: int | None = None
    """How many views the query takes in all, where that was asked for."""
    degraded: list[str] = []
    """Ids of views on this page that lack events; and those asked for by id that are not there for that reason."""
    incomplete: bool = False
    """Whether any view of the tenant may lack an event: one has reached no view, or the tenant is suspended."""


class Unused(msgspec.Struct, frozen=True, kw_only=True):
    """An index that was not used, and why."""

    index: str
    why: str


class Explanation(Told, frozen=True, kw_only=True):
    """How a query was executed, and its cost."""

    plan: str
    index: str | None = None
    """As it is declared; None where none is used."""
    ranges: int
    """Parts of the index, or of all views, that were gone through."""
    order: str
    """`index` or `id`: the views came in the query's order; `sorted`: all that matched were sorted."""
    examined: int
    """Views that were looked at."""
    returned: int
    gas: int
    """What the filter cost."""
    ms: float
    unused: list[Unused] = []


class CatalogIndex(msgspec.Struct, frozen=True, kw_only=True):
    """One index of a view type."""

    by: str
    """As the program declares it: `status, balance desc`."""
    built: bool
    """Whether it covers all views; a query uses no other."""


class CatalogView(Told, frozen=True, kw_only=True):
    """One view type."""

    view: str
    json_schema: dict[str, Any] = {}
    """Of a view."""
    indexes: list[CatalogIndex] = []
    builds: list[int] = []
    """All there are; `build` answers."""
    changes: bool = False
    """Whether its changes can be followed."""


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """What can be asked for."""

    views: list[CatalogView]


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the node follows the log with all its view types, and has caught up with it once since it started."""

    ready: bool
    troubles: dict[str, str] | None = None
    """What keeps it from that, by what it concerns; None where the credentials are not an operator's."""
    events_to_go: int | None = None
    """Messages until it has caught up; None where it has, where that is unknown, and for others than operators."""
    catch_up_s: float | None = None
    """Seconds that this will take, if it goes on so; None where nobody knows, and for others than operators."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a change feed.

    `changed` has the newest view. `deleted` and `unmatched` (it changed, and the filter does not take it) have its id
    only. After `reset`, forget what you have: all views that match follow anew. `level`: everything up to `scanned`
    has been told.
    """

    kind: Literal["changed", "deleted", "unmatched", "reset", "level"]
    event_id: str
    """Where to go on from: `changes(…, last_event_id=…)`."""
    scanned: int | None = None
    """The stream's sequence of the commit that changed it."""
    id: str | None = None
    view: dict[str, Any] | None = None
    degraded: bool = False
    """Whether events of the view were parked when this was told."""
    build: int | None = None
    """Of `reset` and `level`: which answers."""
    incomplete: bool = False
    """Of `level`: whether any view of the tenant may lack an event, because one has reached no view."""


def decoded(data: bytes, type_: type[_Value]) -> _Value:
    """JSON as a value of this type, its numbers exact.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    return msgspec.json.Decoder(type_, float_hook=Decimal).decode(data)
