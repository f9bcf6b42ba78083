"""Which build answers, as an operator says: promoting one, going back, and retiring the others."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

import structlog

from projection.engine.assembly import cutover, measured
from projection.engine.builds import remove_build
from projection.engine.candidates import can_go_back, deletable, nothing_waits, retirable
from projection.engine.cutover import fewer_messages
from projection.engine.gates import parks
from projection.errors import ConfigurationError, StorageError
from projection.model.promotion import Gate
from projection.store.audit import AuditRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.engine.cutover import Cutover
    from projection.engine.lane import Lane
    from projection.engine.lane_access import LaneAccess
    from projection.model.ids import ViewType
    from projection.store.audit import Author
    from projection.store.build import Build

log = structlog.get_logger(component="builds")
_PATIENCE_S = 5.0  # for a build that is all but level: both are folded on meanwhile
_GLANCE_S = 0.02


@dataclass(frozen=True, slots=True)
class Promotion:
    """What an operator wants to answer, and what he accepts for it."""

    number: int | None = None  # None: whichever waits
    although_parked: bool = False
    accept_fewer_messages: bool = False


@dataclass(frozen=True, slots=True)
class Switched:
    """What came of an order about which build answers."""

    build: Build
    former: Build
    answers: bool  # whether the build answers now; else it does once it has caught up


class Switching:
    """Orders about which build of a view type answers."""

    def __init__(self, access: LaneAccess, waits: Callable[[Build], bool]) -> None:
        """Orders about the builds of a node.

        Args:
            access: to its lanes.
            waits: whether a new build has no lane yet, and will have one.
        """
        self._access = access
        self._waits = waits
        self._roster = access.roster
        self._catalog = access.catalog

    async def promote(self, view_type: ViewType, choice: Promotion, author: Author) -> Switched:
        """See `Operations.promote`."""
        answers = self._catalog.require(view_type)
        if (unfolded := self._unfolded(answers, choice.number)) is not None:
            return await self._promote_later(unfolded, answers, choice, author)
        lane = self._promotable(answers, choice.number)
        pending, old = self._roster.cutover_to(lane), self._roster.lane_of(view_type, answers.number)
        build = replace(self._catalog.build(view_type, lane.build), gate=Gate("when_caught_up", choice.although_parked))
        must_see_all = not choice.accept_fewer_messages and (pending is None or pending.must_see_all)
        rules = self._access.node.opener.rules
        one = cutover(self._catalog, build, lane, answers, old, rules, must_see_all=must_see_all)
        details = {"former_build": answers.number, "build": build.number} | measured(lane)
        audit = AuditRecord("promote", view_type, author, details | {"answers": True})
        if await self._comes_level(one):
            _require_as_many_messages(one)
            if old is not None and not choice.although_parked:
                why = await asyncio.to_thread(parks, lane.store, old.store, answers.number)
                if why is not None:
                    hint = f"correct the program, or say `projection promote {view_type} --although-parked`"
                    raise ConfigurationError(f"{build} was not promoted: {why}", hint=hint)
            if await self._comes_level(one):
                self._switch(one, build, answers, audit)
                return Switched(build, answers, answers=True)
        if lane in self._roster.followers:
            raise _behind(one)
        audit = replace(audit, details=details | {"answers": False})
        await self._access.in_thread(lambda: self._catalog.record(build, is_candidate=True, audit=audit))
        self._roster.cutovers.forget(lane)
        self._roster.cutovers.pending.append(one)
        log.info("a build answers once it has caught up", view_type=view_type, build=build.number, by=author.name)
        return Switched(build, answers, answers=False)

    def _unfolded(self, answers: Build, number: int | None) -> Build | None:
        """The build that is under way, if it is the one that is meant and is still to be given a lane."""
        build = self._catalog.candidate(answers.view_type)
        if build is None or number not in (None, build.number):
            return None
        return build if self._waits(build) else None

    async def _promote_later(self, build: Build, answers: Build, choice: Promotion, author: Author) -> Switched:
        details = {"former_build": answers.number, "build": build.number, "answers": False}
        audit = AuditRecord("promote", build.view_type, author, details)
        build = replace(build, gate=Gate("when_caught_up", choice.although_parked))
        await self._access.in_thread(lambda: self._catalog.record(build, is_candidate=True, audit=audit))
        return Switched(build, answers, answers=False)

    def _promotable(self, answers: Build, number: int | None) -> Lane:
        view_type, followers = answers.view_type, self._roster.followers
        others = [lane for lane in self._roster.of(view_type) if lane.build != answers.number]
        rolled_back = [
            lane for lane in others if lane in followers and self._catalog.build(view_type, lane.build).gate.rolled_back
        ]
        waiting = [lane for lane in others if lane not in followers] or rolled_back
        lane = next((one for one in waiting + others if number in (None, one.build)), None) if waiting else None
        if lane is None:
            raise nothing_waits(answers, number)
        _require_going(lane)
        return lane

    async def rollback(self, view_type: ViewType, author: Author) -> Switched:
        """See `Operations.rollback`."""
        answers = self._catalog.require(view_type)
        build = can_go_back(answers, self._catalog.follower(view_type))
        lane = self._roster.lane_of(view_type, build.number)
        if lane is None:
            hint = "the node's log tells why, unless builds.retire_after_h is 0"
            raise ConfigurationError(f"{build} is not folded", hint=hint)
        _require_going(lane)
        old = self._roster.lane_of(view_type, answers.number)
        one = cutover(self._catalog, build, lane, answers, old, self._access.node.opener.rules)
        if not await self._comes_level(one):
            raise _behind(one)
        details = {"former_build": answers.number, "build": build.number}
        self._switch(one, build, answers, AuditRecord("rollback", view_type, author, details), rolled_back=True)
        return Switched(build, answers, answers=True)

    async def retire(self, view_type: ViewType, number: int | None, author: Author) -> Build:
        """See `Operations.retire`."""
        build = retirable(self._catalog.require(view_type), self._catalog.follower(view_type), number)
        if (lane := self._roster.lane_of(view_type, build.number)) is not None:
            await self._roster.remove(lane)
        audit = AuditRecord("retire", view_type, author, {"build": build.number})
        await self._access.in_thread(lambda: self._catalog.retire(build, audit))
        log.info("retired a build", view_type=view_type, build=build.number, by=author.name)
        return build

    async def delete(self, view_type: ViewType, number: int, author: Author) -> Build:
        """See `Operations.delete`."""
        answers = self._catalog.require(view_type)
        build = deletable(self._catalog.builds(view_type), answers, number)
        if (lane := self._roster.lane_of(view_type, number)) is not None:
            await self._roster.remove(lane)
        audit = AuditRecord("delete build", view_type, author, {"build": number})
        await self._access.in_thread(lambda: remove_build(self._catalog, build, audit))
        log.info("deleted a build", view_type=view_type, build=number, by=author.name)
        return build

    async def _comes_level(self, one: Cutover) -> bool:
        """Wait for a moment until a build is as far as the other; nothing happens between that and the return."""
        until = monotonic() + _PATIENCE_S
        while not (await self._access.node.has_caught_up(one) and self._is_certain(one)):
            if monotonic() > until or one.new.halted is not None:
                return False
            await asyncio.sleep(_GLANCE_S)
        return True

    def _is_certain(self, one: Cutover) -> bool:
        return not one.must_see_all or fewer_messages(one) is not None

    def _switch(
        self, one: Cutover, build: Build, answers: Build, audit: AuditRecord, *, rolled_back: bool = False
    ) -> None:
        """Have a build answer, in one step of the catalog, and the lanes know of it."""
        view_type, rules = build.view_type, self._access.node.opener.rules
        follows = rules.follows and one.old is not None
        try:
            self._catalog.serve(build, answers, follows=follows, rolled_back=rolled_back, audit=audit)
        except StorageError:
            if self._catalog.serving_number(view_type) != build.number:
                raise  # else the disk has kept it all the same
        self._roster.cutovers.forget(one.new)
        self._roster.switch(one)
        for other in [each for each in self._roster.cutovers.pending if each.new.view_type == view_type]:
            wanted = self._catalog.build(view_type, other.new.build)
            again = cutover(self._catalog, wanted, other.new, build, one.new, rules, must_see_all=other.must_see_all)
            self._roster.cutovers.forget(other.new)
            self._roster.cutovers.pending.append(again)
        log.info("another build answers", view_type=view_type, build=build.number, by=audit.author.name)


def _require_going(lane: Lane) -> None:
    if lane.halted is not None:
        raise ConfigurationError(
            f"build {lane.build} of view type {lane.view_type} has halted: {lane.halted.message}",
            hint=f"`projection resume {lane.view_type}` tries again",
        )


def _require_as_many_messages(one: Cutover) -> None:
    fewer = fewer_messages(one) if one.must_see_all else False
    if fewer:
        raise ConfigurationError(
            fewer.message,
            hint=f"restore the log; if the loss is meant, `projection promote {one.new.view_type} "
            "--accept-fewer-messages`",
        )


def _behind(one: Cutover) -> ConfigurationError:
    answers = "" if one.old is None else f", and build {one.old.build} up to event {one.old.position.scanned:,}"
    return ConfigurationError(
        f"build {one.new.build} of view type {one.new.view_type} has not caught up: it is folded up to event "
        f"{one.new.position.scanned:,}{answers}",
        hint="`projection builds list` shows how far it is; try again once it has caught up",
    )
