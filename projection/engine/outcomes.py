"""What came of operators' orders, as it goes through the doors of a running node: JSON objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projection.engine.adoption import Adoption
    from projection.engine.backup import BackupMade
    from projection.engine.compaction import CompactedBuild
    from projection.engine.decisions import Dropped
    from projection.engine.deploying import Step
    from projection.engine.switching import Switched
    from projection.engine.verification import Verification
    from projection.store.build import Build


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
    compared: int  # views; none where there is no view of the id, neither stored nor in the log
    different: int  # of these
    views: list[ViewDiffered]  # the first 100 of them
    parked: int  # parked events that were missing or should not have been there
    suspended: int  # suspensions likewise
    entries: int  # of indexes likewise
    written: bool  # whether it was put right
    sound: bool | None  # whether the digest agrees with what is stored then; null where nothing differed


class LogLevelCame(msgspec.Struct, frozen=True):
    """From which levels on lines are written, and from which they were."""

    level: str
    was: str


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


class FoldCame(msgspec.Struct, frozen=True):
    """What a new build was made of, where not all of it may have to be folded."""

    view_type: str
    build: int
    folded: int | None = None  # views that were folded anew; null: all of them
    of: int | None = None  # views that there were; null where all are folded
    why: str = ""  # why all of them are

    @property
    def in_words(self) -> str:
        """The same as a sentence without its end."""
        if self.folded is None or self.of is None:
            return f"folds all views anew: {self.why}"
        return f"folds {self.folded:,} of {self.of:,} views anew"


class PartFolded(msgspec.Struct, frozen=True):
    """What another process made of a new build; or why all of it has to be folded."""

    why_all: str = ""  # the rest counts where this is empty
    folded: int = 0  # views that were folded anew
    of: int = 0  # views that there were
    events: int = 0  # sequences of the log that were read for that
    seconds: float = 0.0  # that it took
    answers: int = 0  # the build that was copied
    identity: str = ""  # what that was folded by
    audited: int = 0  # the number of the last audit record when it was copied


class StepCame(msgspec.Struct, frozen=True):
    """What a deployment does with one view type."""

    view_type: str
    change: str
    why: str
    build: int | None  # that is folded from here on; null where it is still to be made, or is none
    folds: str | None = None  # which views fold anew, in words; null where no new build replaces another
    operation: str | None = None  # the id of the long operation that follows the new build; null where there is none

    @classmethod
    def of(cls, step: Step, build: Build | None = None, operation: str | None = None) -> StepCame:
        """The same of a step in this process, and of the build that it began."""
        wanted, scope = build or step.known_build, step.scope
        return cls(
            str(step.view_type),
            step.change,
            step.why,
            None if wanted is None else wanted.number,
            None if scope is None else scope.in_words,
            operation,
        )


class DeployCame(msgspec.Struct, frozen=True):
    """What comes of a deployment."""

    steps: list[StepCame]


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
