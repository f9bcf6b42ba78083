"""An event that a lane could not take, kept whole with the reason, and the later ones of the same view behind it."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import NamedTuple

from projection.errors import ErrorClass  # noqa: TC001 - pydantic reads it
from projection.model.checkpoint import Frozen
from projection.model.ids import TenantId, ViewId, ViewType  # noqa: TC001 - pydantic reads them
from projection.model.state_digest import entry_digest

HELD_CODE = "P000"  # the event itself is fine: an earlier one of its view is parked, and order is kept


class Disposition(StrEnum):
    """What the policy made of the event."""

    PARKED = "parked"  # and later events of the same view id wait behind it
    SKIPPED = "skipped"  # recorded; later events go on


class ParkedEvent(Frozen):
    """One event that one view could not take.

    `view_id` is None where no view id came of the event: it is parked alone. `span` is `file:line:column` of the
    program, for errors of the program. `fold_identity` is what manifest and program gave when the event failed;
    decisions of an operator are no part of it, or a fold that knows them from its start would hold other bytes.
    `envelope` holds the bytes of the message as they came.

    `message` and `span` are for people: they may quote a library, and may be worded better in any release.
    """

    tenant_id: TenantId
    view_type: ViewType
    view_id: ViewId | None
    sequence: int
    error_class: ErrorClass
    code: str
    message: str
    span: str | None
    fold_identity: str
    disposition: Disposition
    subject: str
    envelope: bytes
    # Where the manifest describes the messages, or the program reads parts of them: the headers that are read, in small
    # letters, sorted by name, and when the log stored the message.
    headers: tuple[tuple[str, str], ...] = ()
    stored: str = ""

    @property
    def is_described(self) -> bool:
        """Whether anything of the message is kept beside its envelope."""
        return bool(self.stored or self.headers)


def parked_digest(event: ParkedEvent) -> int:
    """What a parked or skipped event adds to the state digest: what happened to which event, and its bytes.

    A state is compared under one fold identity, so that is no part of it; nor are `message` and `span`, which are words
    about the event: two folds that differ in nothing else hold the same state.
    """
    terms = (
        "parked",
        event.tenant_id,
        event.view_type,
        event.view_id,
        event.sequence,
        event.error_class.value,
        event.code,
        event.disposition.value,
        event.subject,
        *((event.headers, event.stored) if event.is_described else ()),
    )
    return entry_digest(json.dumps(terms).encode(), event.envelope)  # which writes a NUL as \u0000


class Suspension(NamedTuple):
    """A view, or all views of a tenant, for which nothing is folded any more: too many events are parked for it.

    What is there stays as it was before the event with this sequence. Only a fold from the start leads out of it, or
    for a view its deletion.
    """

    tenant_id: TenantId
    view_id: ViewId | None  # None: all views of the tenant
    sequence: int  # of the first event that was not folded

    def concerns(self, tenant_id: TenantId, view_id: ViewId | None) -> bool:
        """Whether events are missing from a view; with None, from some view of the tenant."""
        return self.tenant_id == tenant_id and (view_id is None or self.view_id in (None, view_id))

    @property
    def digest(self) -> int:
        """What it adds to the state digest."""
        terms = ("suspended", self.tenant_id, self.view_id)
        return entry_digest(json.dumps(terms).encode(), b"%d" % self.sequence)


class Unrecorded(NamedTuple):
    """Skipped events that are counted and not kept: those beyond the limit, and those of views that were erased."""

    events: int = 0
    digest: int = 0  # what they add to the state digest, which so does not depend on the limit

    def plus(self, digest: int) -> Unrecorded:
        """With one event more."""
        return Unrecorded(self.events + 1, self.digest + digest)


class Drop(NamedTuple):
    """An operator's decision about one parked event: folds leave it out at this view; without an id, altogether."""

    sequence: int
    tenant_id: TenantId
    view_id: ViewId | None

    @property
    def order(self) -> tuple[int, str, bool, str]:
        """What decisions are sorted by."""
        return (self.sequence, self.tenant_id, self.view_id is not None, self.view_id or "")
