"""Following changes: what of a tenant's views changed behind a place, the newest state of each, as long as one likes.

No client has a queue. It stands at a place in the lane's index of last changes (`projection/store/changes.py`); when
the lane has committed more, a bounded chunk behind that place is read in one short look at the store, and the next one
when the client has taken it. So a slow client costs one chunk, and is told the newest states when it comes to them.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, Self, TypeAlias

import msgspec

from projection.model.ids import ViewId
from projection.model.keys import encoded_view_key
from projection.query.errors import ChangesOffError, CursorInvalidError
from projection.query.freshness import age
from projection.query.sealing import Seal
from projection.query.turns import SLICE_S
from projection.store.changes import END, Stage, change_index, changes_after, horizon

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.model.ids import TenantId, ViewType
    from projection.query.serving import Served
    from projection.store.changes import ChangeIndex
    from projection.store.port import Snapshot

    # What is sent of a view, given its JSON and its id; None where the filter does not take it.
    Sent = Callable[[bytes, str], bytes | None]

# Another build answers; changes were not kept; too long away; another node gave the id, or it is none.
Reason = Literal["build", "generation", "horizon", "node"]
_NOWHERE = 0  # the build of a place that cannot be read: builds are numbered from 1
_FOLD_DIGITS = 12  # enough to tell the few identities of one build apart
CHUNK_ENTRIES = 500
CHUNK_BYTES = 64 * 1024  # of views; one that is larger goes alone


class Event(msgspec.Struct, frozen=True):
    """Something to tell a client."""

    name: ClassVar[str]


class Changed(Event, frozen=True):
    """A view is another one than before, or new."""

    name = "changed"
    id: str
    scanned: int  # the position of the commit that changed it last
    degraded: bool  # whether events of this view are missing from it: they are parked, or it is suspended
    view: msgspec.Raw


class Deleted(Event, frozen=True):
    """A view is gone."""

    name = "deleted"
    id: str
    scanned: int


class Unmatched(Event, frozen=True):
    """A view changed, and the filter does not take it, whether or not it took it before."""

    name = "unmatched"
    id: str
    scanned: int


class Reset(Event, frozen=True):
    """Everything that was told is void; all present views follow."""

    name = "reset"
    build: int
    program: str
    reason: Reason


class Level(Event, frozen=True):
    """All that the lane has committed up to `scanned` was told."""

    name = "level"
    build: int
    program: str
    scanned: int
    as_of: str | None
    incomplete: bool  # whether any view may lack an event: one has reached no view, or the tenant is suspended


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a client stands."""

    build: int
    fold: str  # the beginning of what it is folded by, decisions included
    generation: int  # of the index; places of another one say nothing
    since: int  # the position at which it had nothing to forget: it began there, or is told all that was there
    scanned: int  # it was told the changes up to this position,
    part: bytes  # and of those at this position, the ones up to this

    @property
    def complete(self) -> int:
        """The position up to which it was told everything."""
        return self.scanned if self.part == END else self.scanned - 1


Told: TypeAlias = tuple[Event, Place]


class Chunk(NamedTuple):
    """What comes next, and where that leads to; each event has the place behind it."""

    events: list[Told]
    place: Place
    is_level: bool  # whether nothing more is there


class Picture(NamedTuple):
    """One look at the store of a build."""

    snapshot: Snapshot
    build: int
    fold: str  # the beginning of what it is folded by, decisions included
    program: str  # the digest of its program

    @classmethod
    def of(cls, served: Served, snapshot: Snapshot) -> Self:
        """A look at the build that answers."""
        return cls(snapshot, served.number, served.fold_identity[:_FOLD_DIGITS], served.program)


class Following:
    """The changes of one tenant's views of one type."""

    def __init__(self, tenant_id: TenantId, view_type: ViewType) -> None:
        self.tenant_id = tenant_id
        self.view_type = view_type

    def begin(self, picture: Picture, *, present: bool) -> Place:
        """Where one begins who has heard of nothing: with all views that are there, or with what comes from now on.

        Raises:
            ChangesOffError: there is no index of changes, or not yet.
        """
        index = self._index(picture.snapshot)
        here = picture.snapshot.position.scanned
        scanned, part = (0, b"") if present else (here, END)
        return Place(picture.build, picture.fold, index.generation, here, scanned, part)

    def begin_anew(self, picture: Picture) -> Place:
        """Where one begins whose place cannot be read: everything that was told is void.

        Raises:
            ChangesOffError: there is no index of changes, or not yet.
        """
        return msgspec.structs.replace(self.begin(picture, present=True), build=_NOWHERE)

    def read(
        self, picture: Picture, place: Place, sent: Sent, *, entries: int = CHUNK_ENTRIES, size: int = CHUNK_BYTES
    ) -> Chunk:
        """What comes behind a place: at most so many entries, and about so many bytes of views.

        Raises:
            ChangesOffError: the index of changes is gone.
            FilterFailedError, QueryLimitError: of the filter.
        """
        told: list[Told] = []
        if (reason := self._void(picture, place, self._index(picture.snapshot))) is not None:
            place = self.begin(picture, present=True)
            told.append((Reset(picture.build, picture.program, reason), place))
        here = picture.snapshot.position
        has_degraded: bool | None = None  # asked where there is something to tell
        until = perf_counter() + SLICE_S
        is_level = True
        for count, change in enumerate(changes_after(picture.snapshot, self.tenant_id, place.scanned, place.part)):
            # A filter may take as long for one view as a slice is: so the clock is looked at before each but the first.
            if count == entries or size <= 0 or (count and perf_counter() > until):
                is_level = False
                break
            place = msgspec.structs.replace(place, scanned=change.scanned, part=change.part)
            if has_degraded is None:
                has_degraded = picture.snapshot.has_degraded(self.tenant_id)
            event, length = self._event(
                picture.snapshot, change.view_id, change.scanned, sent, has_degraded=has_degraded
            )
            if isinstance(event, Changed) or change.scanned > place.since:
                told.append((event, place))
                size -= length
        if is_level and place.scanned <= here.scanned:  # beyond: the store was folded anew, and comes there again
            place = msgspec.structs.replace(place, scanned=here.scanned, part=END)
        return Chunk(told, place, is_level)

    def _index(self, snapshot: Snapshot) -> ChangeIndex:
        index = change_index(snapshot)
        if index.stage is Stage.FILLING:
            raise ChangesOffError(
                f"the changes of view type {self.view_type} are still being prepared", hint="try again in a moment"
            )
        if index.stage is not Stage.ON:
            raise ChangesOffError(
                f"view type {self.view_type} keeps no changes",
                hint="set `changes: true` for it in the manifest, and restart the node",
            )
        return index

    def _void(self, picture: Picture, place: Place, index: ChangeIndex) -> Reason | None:
        """Why a place says nothing; None where it does."""
        if place.build == _NOWHERE:
            return "node"
        if place.build != picture.build:
            return "build"
        # A store that was folded anew, or a copy, counts generations for itself: the numbers alone do not tell.
        if place.fold != picture.fold or place.generation != index.generation or place.since < index.since:
            return "generation"
        if horizon(picture.snapshot, self.tenant_id) > max(place.complete, place.since):
            return "horizon"
        return None

    def _event(
        self, snapshot: Snapshot, view_id: str, scanned: int, sent: Sent, *, has_degraded: bool
    ) -> tuple[Event, int]:
        view = snapshot.get(encoded_view_key(self.tenant_id, self.view_type, view_id))
        if view is None:
            return Deleted(view_id, scanned), len(view_id)
        if (data := sent(view, view_id)) is None:
            return Unmatched(view_id, scanned), len(view_id)
        degraded = has_degraded and snapshot.is_degraded(self.tenant_id, ViewId(view_id))
        return Changed(view_id, scanned, degraded, msgspec.Raw(data)), len(view_id) + len(data)

    def level(self, picture: Picture) -> Level:
        """What tells that nothing more is there."""
        position = picture.snapshot.position
        incomplete = picture.snapshot.is_incomplete(self.tenant_id)
        return Level(picture.build, picture.program, position.scanned, age(position, None).as_of, incomplete)


class Places:
    """Places as texts, sealed: of use only to this tenant, and for what was followed when they were given."""

    def __init__(self, key: bytes, tenant_id: TenantId, followed: bytes) -> None:
        """Places of one client.

        Args:
            key: of the data folder.
            tenant_id: whose views are followed.
            followed: which, in one canonical form: view type, filter and selection.
        """
        self._seal = Seal(key, "change")
        self._bound_to = (tenant_id.encode(), followed)

    def write(self, place: Place) -> str:
        """The text of a place."""
        return self._seal.close(msgspec.msgpack.encode(place), *self._bound_to)

    def read(self, text: str) -> Place:
        """The place that a text means.

        Raises:
            CursorInvalidError: it was not given by us, to this tenant, for this.
        """
        payload = self._seal.open(text, *self._bound_to)
        if payload is None:
            raise CursorInvalidError(
                "the event id is not one of this tenant, view type, filter and selection",
                hint="go on with the parameters that it was given for; or leave it out",
            )
        return msgspec.msgpack.decode(payload, type=Place)
