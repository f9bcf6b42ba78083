"""Operators' orders and what came of them, as they go through the doors of a running node: JSON objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec

from projection.errors import ConfigurationError
from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.parked import Drop
from projection.model.promotion import Gate, Promote
from projection.store.audit import Author

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projection.engine.adoption import Adoption
    from projection.engine.backup import BackupMade
    from projection.engine.compaction import CompactedBuild
    from projection.engine.decisions import Dropped
    from projection.engine.deploying import Step, StepTaken
    from projection.engine.switching import Switched
    from projection.engine.verification import Verification
    from projection.store.audit import Door
    from projection.store.build import Build

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
    """Have a corrected program take over the views as they are."""

    recipe: str  # JSON: the program's text and what the manifest says of it (model/recipe.py)


class DeleteOrder(Order, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Delete a build that does not answer."""

    build: int


class RebuildOrder(Order, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fold a view type anew, beside the build that answers."""

    backup: str | None = None  # an absolute path on the node's machine: begin with what is there; null: from the start
    promote: Promote | None = None  # when the new build may answer; null: as the node's settings say
    although_parked: bool = False  # also where it parks events that the build which answers does not

    @property
    def gate(self) -> Gate:
        """When the new build may answer, as it keeps it."""
        return Gate(self.promote, self.although_parked)


class PromoteOrder(Order, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Have the build answer that its gate holds, or that was rolled back."""

    build: int | None = None  # null: the one that waits
    although_parked: bool = False  # also where it parks events that the build which answers does not
    accept_fewer_messages: bool = False  # also where it has seen fewer messages of the log


class RetireOrder(Order, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fold the build that follows no longer."""

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
            raise ConfigurationError("a view is named, and not whose it is", hint="name the tenant as well")
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


class DeployOrder(ReloadOrder, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fold what a manifest says from here on."""

    recipes: list[str]  # JSON: of each view type, the program's text and what the manifest says of it


class BackupOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Back the data folder up."""

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
    """Give free pages of stores back to the disk."""

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


class Waiting(msgspec.Struct, frozen=True):
    """An event that is still parked behind one that was left out."""

    sequence: int
    code: str
    message: str


class DropCame(msgspec.Struct, frozen=True):
    """What came of leaving out an event."""

    build: int
    fold_identity: str
    taken: int  # events behind it that the view has taken
    waiting: list[Waiting]

    @classmethod
    def of(cls, dropped: Dropped) -> DropCame:
        """The same of a decision that was made in this process."""
        waiting = [Waiting(one.sequence, one.code, one.message) for one in dropped.waiting]
        return cls(dropped.build.number, dropped.build.fold_identity, dropped.taken, waiting)


class AdoptCame(msgspec.Struct, frozen=True):
    """What came of an adoption; see `Adoption`."""

    view_type: str
    former_build: int
    build: int | None
    scanned: int
    views_changed: int
    taken: int
    gone: int
    late: int
    parked: dict[str, int]
    skipped: dict[str, int]
    suspended: int

    @classmethod
    def of(cls, came: Adoption) -> AdoptCame:
        """The same of an adoption in this process."""
        return cls(
            view_type=str(came.former.view_type),
            former_build=came.former.number,
            build=None if came.build is None else came.build.number,
            scanned=came.scanned,
            views_changed=came.views_changed,
            taken=came.taken,
            gone=came.gone,
            late=came.late,
            parked=dict(came.parked),
            skipped=dict(came.skipped),
            suspended=came.suspended,
        )


class ViewDiffered(msgspec.Struct, frozen=True):
    """A view that was held otherwise than its events make it."""

    view_id: str
    fields: list[str]  # paths that differed; none where the view was missing, or should not have been there
    was: bool  # whether there was one
    ought: bool  # whether there should be one


class RepairCame(msgspec.Struct, frozen=True):
    """What came of a repair."""

    view_type: str
    build: int
    scanned: int  # behind which event both were compared
    events: int  # of the log, that were read
    compared: int  # views
    different: int  # of these
    views: list[ViewDiffered]  # the first 100 of them
    parked: int  # parked events that were missing or should not have been there
    suspended: int  # suspensions likewise
    entries: int  # of indexes likewise
    written: bool  # whether it was put right
    sound: bool | None  # whether the digest agrees with what is stored then; null where nothing differed


class BuildCame(msgspec.Struct, frozen=True):
    """Which build an order was about."""

    view_type: str
    build: int

    @classmethod
    def of(cls, build: Build) -> BuildCame:
        """The same of a build in this process."""
        return cls(str(build.view_type), build.number)


class SwitchCame(msgspec.Struct, frozen=True):
    """What came of an order about which build answers."""

    view_type: str
    build: int
    former_build: int
    answers: bool  # false: it answers once it has caught up

    @classmethod
    def of(cls, came: Switched) -> SwitchCame:
        """The same of a switch in this process."""
        return cls(str(came.build.view_type), came.build.number, came.former.number, came.answers)


class StepCame(msgspec.Struct, frozen=True):
    """What a deployment does with one view type."""

    view_type: str
    change: str
    why: str
    build: int | None  # that is folded from here on; null where it is still to be made, or is none

    @classmethod
    def of(cls, step: Step, build: Build | None = None) -> StepCame:
        """The same of a step in this process, and of the build that it began."""
        wanted = build or step.known_build
        return cls(str(step.view_type), step.change, step.why, None if wanted is None else wanted.number)


class DeployCame(msgspec.Struct, frozen=True):
    """What comes of a deployment."""

    steps: list[StepCame]

    @classmethod
    def of(cls, taken: Iterable[StepTaken]) -> DeployCame:
        """The same of a deployment in this process."""
        return cls([StepCame.of(one.step, one.build) for one in taken])


class BackupCame(msgspec.Struct, frozen=True):
    """What came of a backup; see `BackupMade`."""

    name: str
    at: str
    builds: int
    bytes: int
    copied: int
    seconds: float
    deleted: list[str]
    damaged: list[str]

    @classmethod
    def of(cls, made: BackupMade) -> BackupCame:
        """The same of a backup that was made in this process."""
        return cls(**{name: getattr(made, name) for name in cls.__struct_fields__})


class VerifiedBuild(msgspec.Struct, frozen=True):
    """What was found in the store of a build that answers."""

    view_type: str
    build: int
    problems: list[str]
    fold_identity: str | None = None  # of this and what follows: null where the store cannot be read
    scanned: int | None = None
    applied: int | None = None
    views: int | None = None
    parked: int | None = None
    digest: str | None = None

    @classmethod
    def of(cls, found: Verification) -> VerifiedBuild:
        """The same of a build that this process went through."""
        view_type, number, audit = str(found.build.view_type), found.build.number, found.audit
        if audit is None:
            return cls(view_type, number, found.problems)
        return cls(
            view_type,
            number,
            found.problems,
            audit.fold_identity,
            audit.position.scanned,
            audit.position.applied,
            audit.views,
            audit.parked,
            str(audit.recomputed),
        )


class VerifyCame(msgspec.Struct, frozen=True):
    """What was found in the builds that answer."""

    builds: list[VerifiedBuild]


class BuildCompacted(msgspec.Struct, frozen=True):
    """What the store of a build took on the disk, in bytes."""

    view_type: str
    build: int
    before: int
    after: int
    problem: str | None = None  # why nothing was given back


class CompactCame(msgspec.Struct, frozen=True):
    """What came of compacting builds."""

    builds: list[BuildCompacted]

    @property
    def given_back(self) -> int:
        """Bytes, of all builds together."""
        return sum(one.before - one.after for one in self.builds)

    @classmethod
    def of(cls, found: Iterable[CompactedBuild]) -> CompactCame:
        """The same of builds that this process compacted."""
        return cls(
            [BuildCompacted(str(one.build.view_type), one.build.number, *one.bytes, one.problem) for one in found]
        )


class Done(msgspec.Struct, frozen=True):
    """What was ordered is done, and there is nothing more to say."""

    view_type: str


def _author(by: str, door: Door, reason: str) -> Author:
    return Author(by[:_MAX_TEXT], door, reason[:_MAX_TEXT])


def _checked(kind: type[_Id], text: str) -> _Id:
    try:
        return kind(text)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
