"""An event that a lane could not take, kept whole with the reason, and the later ones of the same view behind it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from projection.errors import ErrorClass  # noqa: TC001 - pydantic reads it
from projection.model.checkpoint import Frozen
from projection.model.ids import TenantId, ViewId, ViewType  # noqa: TC001 - pydantic reads them

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
    `envelope` holds the bytes as they came.
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


class Drop(NamedTuple):
    """An operator's decision about one parked event: folds leave it out at this view; without an id, altogether."""

    sequence: int
    tenant_id: TenantId
    view_id: ViewId | None

    @property
    def order(self) -> tuple[int, str, bool, str]:
        """What decisions are sorted by."""
        return (self.sequence, self.tenant_id, self.view_id is not None, self.view_id or "")
