"""Parked events of a build, page by page, however many there are."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import PurePath
from typing import TYPE_CHECKING

import msgspec

from projection.model.recipe import Recipe
from projection.query.errors import CursorInvalidError
from projection.store.records import PARKED, tenant_prefix

if TYPE_CHECKING:
    from projection.model.ids import TenantId, ViewId
    from projection.model.parked import ParkedEvent
    from projection.store.build import Build
    from projection.store.lmdb_reader import LmdbLane

MOST = 200  # events of a page
_LOOKS = 2_000  # at most, where only some are wanted; a page may so have fewer, and others behind it
_AROUND = 3  # lines of the program that are shown before and after the one that failed
_LONGEST_KEY = 511  # bytes, of LMDB
_SUSPENSIONS = 100  # that are told one by one


class ParkedEntry(msgspec.Struct, frozen=True):
    """A parked or skipped event."""

    tenant_id: str
    view_id: str | None  # null where it reached no view
    sequence: int
    code: str
    error_class: str
    message: str
    place: str | None  # `file:line:column` of the program
    disposition: str  # `parked`: later events of the view wait behind it; `skipped`
    subject: str

    @classmethod
    def of(cls, event: ParkedEvent) -> ParkedEntry:
        """The same of an event in this process."""
        return cls(
            tenant_id=str(event.tenant_id),
            view_id=None if event.view_id is None else str(event.view_id),
            sequence=event.sequence,
            code=event.code,
            error_class=event.error_class.value,
            message=event.message,
            place=event.span,
            disposition=event.disposition.value,
            subject=event.subject,
        )


class Suspended(msgspec.Struct, frozen=True):
    """A view, or all views of a tenant, for which nothing is folded any more."""

    tenant_id: str
    view_id: str | None  # null: all views of the tenant
    sequence: int  # of the first event that was not folded


class ParkedPage(msgspec.Struct, frozen=True):
    """Some parked events, in the order of tenants, views and the log."""

    view_type: str
    build: int
    events: list[ParkedEntry]
    next: str | None  # the cursor of the next page; null where this is the last one
    suspended: list[Suspended]  # the first 100


class SourceLine(msgspec.Struct, frozen=True):
    """A line of a program."""

    number: int
    text: str


class ParkedDetails(msgspec.Struct, frozen=True):
    """A parked event, whole."""

    event: ParkedEntry
    build: int
    fold_identity: str  # of the fold that could not take it
    envelope: str  # as it came; what is no UTF-8 is escaped
    source: list[SourceLine]  # of the program, around the line that failed; empty where no line did
    line: int | None  # which of these that is


def parked_page(
    build: Build,
    reader: LmdbLane,
    *,
    tenant_id: TenantId | None = None,
    code: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> ParkedPage:
    """Parked events of a build's store.

    Args:
        build: whose.
        reader: of its store.
        tenant_id: only those of a tenant; None for all.
        code: only those with this code; None for all.
        cursor: `next` of the page before; None for the first page.
        limit: how many.

    Raises:
        CursorInvalidError: the cursor is none of these events.
        StorageError: the store cannot be read.
    """
    prefix = PARKED if tenant_id is None else tenant_prefix(tenant_id)
    behind = None if cursor is None else _key(cursor, prefix)
    found: list[ParkedEntry] = []
    following: bytes | None = None
    for looks, (key, event) in enumerate(reader.parked_behind(behind, prefix)):
        if len(found) == limit or looks == _LOOKS:
            following = behind
            break
        behind = key
        if code is None or event.code == code:
            found.append(ParkedEntry.of(event))
    suspended = [
        Suspended(str(one.tenant_id), None if one.view_id is None else str(one.view_id), one.sequence)
        for one in reader.suspensions()
        if tenant_id in (None, one.tenant_id)
    ]
    return ParkedPage(
        str(build.view_type),
        build.number,
        found,
        None if following is None else urlsafe_b64encode(following).decode().rstrip("="),
        suspended[:_SUSPENSIONS],
    )


def parked_event(
    build: Build, reader: LmdbLane, tenant_id: TenantId, view_id: ViewId | None, sequence: int
) -> ParkedDetails | None:
    """One parked event of a build's store; None where it is not parked there.

    Raises:
        StorageError: the store cannot be read.
    """
    for event in reader.parked_for(tenant_id, view_id):
        if event.sequence == sequence:
            line, source = _source(build, event)
            return ParkedDetails(
                event=ParkedEntry.of(event),
                build=build.number,
                fold_identity=event.fold_identity,
                envelope=event.envelope.decode(errors="backslashreplace"),
                source=source,
                line=line,
            )
    return None


def _source(build: Build, event: ParkedEvent) -> tuple[int | None, list[SourceLine]]:
    """The lines of the program around the one that failed, and which one that is.

    An event that was parked by a former program, of which an adopted build has kept it, names a line of that one.
    """
    if event.span is None or event.fold_identity != build.base_identity:
        return None, []
    _, _, rest = PurePath(event.span).name.partition(":")
    number = rest.partition(":")[0]
    if not number.isdigit():
        return None, []
    line, lines = int(number), Recipe.decode(build.recipe).program.text.splitlines()
    around = range(max(1, line - _AROUND), min(len(lines), line + _AROUND) + 1)
    return (line, [SourceLine(one, lines[one - 1]) for one in around]) if line in around else (None, [])


def _key(cursor: str, prefix: bytes) -> bytes:
    try:
        key = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except ValueError:
        key = b""
    if not key.startswith(prefix) or len(key) > _LONGEST_KEY:
        raise CursorInvalidError("the cursor belongs to no page of these events", hint="begin without a cursor")
    return key
