"""Cutover: a new build replaces the serving one once it has caught up and has seen as many messages of the log.

The log may have lost messages since the former build was folded. A fold of the rest lacks their effect, and raises no
error.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import structlog

from projection.engine.gates import HALTED, OPEN
from projection.errors import ErrorClass, ProjectionError, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from projection.engine.gates import Gatekeeper
    from projection.engine.lane import Lane
    from projection.model.checkpoint import LanePosition
    from projection.model.ids import ViewType
    from projection.model.promotion import HeldBuild, Promote
    from projection.stream.port import Feed

log = structlog.get_logger(component="builds")


class FewerMessagesError(ProjectionError):
    """A new build has seen fewer messages than the one that it was to replace."""

    error_class = ErrorClass.CONFIGURATION
    default_code = "build.fewer_messages"


@dataclass(frozen=True, slots=True)
class CutoverRules:
    """What the settings say of cutovers."""

    promote: Promote  # when a build answers whose gate does not say it
    follows: bool  # whether the build that was replaced is folded on, so that one can go back to it
    keeps_following: bool  # whether this process does so; else the next start goes on with it


@dataclass(frozen=True, slots=True)
class Cutover:
    """A build that replaces another one once it has caught up with it."""

    new: Lane
    old: Lane | None  # which is folded on until then; None where nothing can fold it any more
    serve: Callable[[], None]  # makes the catalog point to the new build
    former: LanePosition | None = None  # of the serving build, where no lane folds it
    must_see_all: bool = True  # whether it may not serve where it has seen fewer messages of the log
    gate: Gatekeeper | None = None  # what else has to be true; None: nothing
    follows: bool = False  # whether the other one is folded on afterwards

    @property
    def is_held(self) -> bool:
        """Whether its gate was found shut."""
        return self.gate is not None and self.gate.held is not None

    @property
    def is_level(self) -> bool:
        """Whether the new build has come as far as the other one, as both are stored."""
        return self.old is not None and self.new.position.scanned >= self.old.position.scanned


class Cutovers:
    """The cutovers that a node has still to make, and why some are delayed or refused."""

    def __init__(self, cutovers: Iterable[Cutover]) -> None:
        self.pending = list(cutovers)
        self.refused: list[ProjectionError] = []  # why builds may not serve
        self.delayed: dict[ViewType, StorageError] = {}  # why a build does not serve yet, although it could
        self.ruled_out: dict[ViewType, HeldBuild] = {}  # what `refused` says of builds that are folded on
        self.held: set[ViewType] = set()  # the view types of which no build is replaced for now

    @property
    def waiting(self) -> dict[ViewType, HeldBuild]:
        """The builds that have caught up and may not answer yet, and why."""
        gates = ((one.new.view_type, one.gate) for one in self.pending)
        found = {view_type: gate.held for view_type, gate in gates if gate is not None and gate.held is not None}
        return found | self.ruled_out

    @property
    def standby(self) -> set[Lane]:
        """The lanes of new builds that are folded while another lane of their view type serves."""
        return {one.new for one in self.pending if one.old is not None}

    def may_end(self, is_paused: Callable[[Lane], bool]) -> bool:
        """Whether no cutover can be made for now: its gate holds each new build, or it has halted or is paused."""
        return all(one.is_held or one.new.halted is not None or is_paused(one.new) for one in self.pending)

    def replaced(self, lane: Lane, new: Lane) -> None:
        """A lane has taken the place of another on the same store."""
        self.pending = [
            replace(one, new=new if one.new is lane else one.new, old=new if one.old is lane else one.old)
            for one in self.pending
        ]

    def forget(self, lane: Lane) -> None:
        """Make no cutover to a lane."""
        self.pending = [one for one in self.pending if one.new is not lane]
        self.delayed.pop(lane.view_type, None)
        if (out := self.ruled_out.get(lane.view_type)) is not None and out.build == lane.build:
            del self.ruled_out[lane.view_type]

    async def attempt(self, one: Cutover, feed: Feed | None) -> bool:
        """Make a pending cutover if it is due, and return whether it was made.

        Where the catalog cannot be written, it is delayed: the next attempt tries again.

        Args:
            one: the cutover.
            feed: of the new build's lane; None where nothing reads for it.

        Raises:
            StreamError: the end of the log cannot be looked at.
        """
        try:
            if one.gate is not None and one.new.halted is not None:
                one.gate.hold(one.new, HALTED, one.new.halted.message)
            elif one.gate is not None:
                one.gate.goes_on()
            if feed is None or not await has_caught_up(one, feed):
                return False  # for a moment: what delays it may still do so
            made = self._may_switch(one) and self._is_open(one)
            if made:
                one.serve()
        except StorageError as error:
            self.delayed[one.new.view_type] = error
            return False
        self.delayed.pop(one.new.view_type, None)
        if made:
            self.made(one)
        return made

    def _may_switch(self, one: Cutover) -> bool:
        if one.new.halted is not None or one not in self.pending or one.new.view_type in self.held:
            return False  # since the end of the log was looked at
        if one.must_see_all and (fewer := fewer_messages(one)) is not False:
            if fewer is not None:
                self.give_up(one)
                self.refused.append(fewer)
                if one.gate is not None:
                    self.ruled_out[one.new.view_type] = one.gate.hold(one.new, "fewer_messages", fewer.message)
                log.error("a new build may not serve", reason=fewer.message, hint=fewer.hint)
            return False
        return True

    def _is_open(self, one: Cutover) -> bool:
        return one.gate is None or one.gate.ruling(one.new, one.old) is OPEN

    def made(self, one: Cutover) -> None:
        """Note that a cutover was made."""
        if one in self.pending:
            self.pending.remove(one)
        log.info("a new build serves", view_type=one.new.view_type, scanned=one.new.position.scanned)

    def give_up(self, one: Cutover) -> None:
        """Leave the former build serving for good; idempotent."""
        if one in self.pending:
            self.pending.remove(one)


async def has_caught_up(one: Cutover, feed: Feed) -> bool:
    """Whether the new build has caught up with the former one; where that is not folded on, with the log."""
    if one.new.store.is_loading:  # it is not on the disk: a loss of power would leave nothing to answer from
        return False
    if one.old is not None and one.old.halted is None:
        return one.is_level
    return one.new.scanned == one.new.position.scanned and await feed.caught_up()


def fewer_messages(one: Cutover) -> FewerMessagesError | Literal[False] | None:
    """Return whether a new build that has caught up has seen fewer messages than the other; None while not certain.

    Their positions are rarely equal. The sequences by which the new one is ahead hold at most as many messages.
    """
    new, old = one.new.position, one.former if one.old is None else one.old.position
    if old is None or old.messages is None or new.messages is None:
        return False
    if new.messages < old.messages:
        return _refusal(one, new.messages, old.messages)
    if new.messages - (new.scanned - old.scanned) >= old.messages or one.old is None or one.old.halted is not None:
        return False
    if one.new.scanned != one.old.scanned or one.new.messages is None or one.old.messages is None:
        return None
    if one.new.messages < one.old.messages:
        return _refusal(one, one.new.messages, one.old.messages)
    return False


def _refusal(one: Cutover, seen: int, wanted: int) -> FewerMessagesError:
    view_type = one.new.view_type
    return FewerMessagesError(
        f"build {one.new.build} of view type {view_type} has seen {seen:,} messages of the log, and the build that "
        f"answers {wanted:,}: the log has lost messages, so the new views would lack their effect; the former "
        "build continues to answer",
        hint="restore the log, or run `projection adopt`; if the loss is intended, start with --accept-fewer-messages",
    )
