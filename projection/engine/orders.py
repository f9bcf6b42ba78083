"""Operators' orders, as they go through the doors of a running node: JSON objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec

from projection.errors import ConfigurationError
from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.log_settings import LogLevels
from projection.model.parked import Drop
from projection.model.promotion import Gate, Promote
from projection.store.audit import Author

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.engine.backup_place import BackupSource
    from projection.store.audit import Door
    from projection.stream.address import NatsConnection

_Id = TypeVar("_Id", ViewType, ViewId, TenantId)
_MAX_TEXT = 1_000  # characters of a name or a reason


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every order says."""

    view_type: str
    by: str  # who gives it, by their own word
    reason: str = ""

    def author(self, door: Door) -> Author:
        """Who gives it, for the audit."""
        return _author(self.by, door, self.reason)

    def of(self) -> ViewType:
        """The view type.

        Raises:
            ConfigurationError: it is no name of one.
        """
        return _checked(ViewType, self.view_type)


class DropOrder(Order, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Leave out a parked event."""

    sequence: int
    tenant_id: str
    view_id: str | None = None  # null: it has reached no view

    @property
    def place(self) -> tuple[TenantId, int, ViewId | None]:
        """Whose event, its number, and the view that it is parked for.

        Raises:
            ConfigurationError: an id is none.
        """
        view_id = None if self.view_id is None else _checked(ViewId, self.view_id)
        return _checked(TenantId, self.tenant_id), self.sequence, view_id

    @property
    def choice(self) -> Drop:
        """The same as a decision; raises as `place`."""
        tenant_id, sequence, view_id = self.place
        return Drop(sequence, tenant_id, view_id)


class AdoptOrder(Order, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Let a corrected program adopt the views."""

    recipe: str  # JSON: the program's text and what the manifest says of it (model/recipe.py)


class DeleteOrder(Order, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Delete a build that does not answer."""

    build: int


class RebuildOrder(Order, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rebuild a view type."""

    backup: str | None = None  # begin with it: an absolute path on the node's machine, or its name in the bucket
    object_store: str | None = None  # a bucket at the node's own server; null, as the backup: from the first event
    promote: Promote | None = None  # when the new build may answer; null: as the node's settings say
    although_parked: bool = False  # also where it parks events that the build which answers does not

    @property
    def gate(self) -> Gate:
        """When the new build may answer, as it keeps it."""
        return Gate(self.promote, self.although_parked)

    def source(self, connect: Callable[[], NatsConnection]) -> BackupSource | None:
        """The backup to begin with; None: from the first event.

        Args:
            connect: gives the connection to the server that has the bucket.
        """
        from projection.engine.backup_place import BackupSource  # noqa: PLC0415 - most orders need no client of a server

        if self.object_store is not None:
            return BackupSource(self.backup, self.object_store, connect())
        return None if self.backup is None else BackupSource(self.backup)


class PromoteOrder(Order, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Promote a build that waits, or that was rolled back."""

    build: int | None = None  # null: the one that waits
    although_parked: bool = False  # also where it parks events that the build which answers does not
    accept_fewer_messages: bool = False  # also where it has seen fewer messages of the log


class RetireOrder(Order, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Stop folding the build that follows."""

    build: int | None = None  # null: the one that follows


class CompareOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Compare two builds of a view type."""

    view_type: str
    old: int | None = None  # null: the build that answers
    new: int | None = None  # null: the one that is under way, or follows
    limit: Annotated[int, msgspec.Meta(ge=0, le=100)] = 20  # views and parked events that are told one by one

    by: str = ""  # who wants to know

    def author(self, door: Door) -> Author:
        """Who gives it."""
        return _author(self.by, door, "")

    def of(self) -> ViewType:
        """The view type; raises as `Order.of`."""
        return _checked(ViewType, self.view_type)


class RepairOrder(Order, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fold one view anew, or all views of a tenant or of all, and put right what the build holds otherwise."""

    tenant_id: str | None = None  # null: those of all tenants
    view_id: str | None = None  # null: all views of the tenant
    dry_run: bool = False

    @property
    def target(self) -> tuple[TenantId | None, ViewId | None]:
        """Whose views, and which.

        Raises:
            ConfigurationError: an id is none, or it names a view and no tenant.
        """
        if self.tenant_id is None and self.view_id is not None:
            raise ConfigurationError("a view is named, but not its tenant", hint="name the tenant as well")
        view_id = None if self.view_id is None else _checked(ViewId, self.view_id)
        return None if self.tenant_id is None else _checked(TenantId, self.tenant_id), view_id


class ReloadOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fold what the node's own manifest says from here on."""

    by: str
    reason: str = ""
    promote: Promote | None = None  # when a new build may answer; null: as the node's settings say
    although_parked: bool = False  # also where it parks events that the build which answers does not

    @property
    def gate(self) -> Gate:
        """When a new build may answer, as it keeps it."""
        return Gate(self.promote, self.although_parked)

    def author(self, door: Door) -> Author:
        """Who gives it, for the audit."""
        return _author(self.by, door, self.reason)


class LogLevelOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Write lines of the log from another level on, until the node ends."""

    by: str
    reason: str = ""
    level: str  # as the setting `log.level`

    def author(self, door: Door) -> Author:
        """Who gives it, for the log."""
        return _author(self.by, door, self.reason)

    @property
    def levels(self) -> LogLevels:
        """The levels that it names.

        Raises:
            ConfigurationError: it names a level or a component that there is not.
        """
        try:
            return LogLevels.parse(self.level)
        except ValueError as error:
            raise ConfigurationError(str(error)) from None


class DeployOrder(ReloadOrder, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Deploy a manifest."""

    recipes: list[str]  # JSON: of each view type, the program's text and what the manifest says of it


class PlanOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tell what deploying a manifest would do."""

    recipes: list[str]  # as to deploy it
    by: str = ""  # who wants to know


class BackupOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Back up the data folder."""

    by: str
    reason: str = ""
    directory: str | None = None  # absolute, on the node's machine; null, as the bucket: what the settings say
    object_store: str | None = None  # a bucket at the node's own server, instead of a directory
    keep: Annotated[int, msgspec.Meta(ge=1)] | None = None  # backups, with this one; null: what the settings say

    def author(self, door: Door) -> Author:
        """Who gives it, for the audit."""
        return _author(self.by, door, self.reason)


class VerifyOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Go through what the builds that answer hold."""

    by: str
    view_types: list[str] | None = None  # null: all

    def author(self, door: Door) -> Author:
        """Who gives it."""
        return _author(self.by, door, "")

    def of(self) -> list[str] | None:
        """The view types.

        Raises:
            ConfigurationError: one is no name of a view type.
        """
        return None if self.view_types is None else [str(_checked(ViewType, one)) for one in self.view_types]


class CompactOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Return free pages of stores to the file system."""

    by: str
    reason: str = ""
    view_type: str | None = None  # whose builds; null: all

    def author(self, door: Door) -> Author:
        """Who gives it, for the audit."""
        return _author(self.by, door, self.reason)

    def of(self) -> ViewType | None:
        """The view type.

        Raises:
            ConfigurationError: it is no name of one.
        """
        return None if self.view_type is None else _checked(ViewType, self.view_type)


def _author(by: str, door: Door, reason: str) -> Author:
    return Author(by[:_MAX_TEXT], door, reason[:_MAX_TEXT])


def _checked(kind: type[_Id], text: str) -> _Id:
    try:
        return kind(text)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
