"""The gate of a new build: what has to be true, beyond that it has caught up, before it answers.

What takes long, as a comparison of all views does, is done in a thread, and the node goes on meanwhile.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING, Literal

from projection.engine.store_differences import differing, newly_parked
from projection.model.keys import VIEWS, ViewKey
from projection.model.promotion import HeldBuild

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.engine.lane import Lane
    from projection.model.promotion import Gate, Promote
    from projection.store.port import ViewReader

HALTED = "halted"
_AGAIN_S = 1.0  # until a build that is held is looked at again; twice as long each time
_LONGEST_S = 60.0


class Verdict(Enum):
    """What a gate says where it holds nothing."""

    OPEN = "open"
    UNDECIDED = "undecided"


OPEN, UNDECIDED = Verdict.OPEN, Verdict.UNDECIDED
Ruling = HeldBuild | Literal[Verdict.OPEN, Verdict.UNDECIDED]


class Gatekeeper:
    """Says whether a build that has caught up may answer."""

    def __init__(self, gate: Gate, default: Promote, note: Callable[[HeldBuild | None], None]) -> None:
        """The gate of one build.

        Args:
            gate: of the build.
            default: the condition where the gate names none.
            note: writes down why the build is held, or that it no longer is, for others to read.
        """
        self._gate = gate
        self._promote = gate.promote or default
        self._note = note
        self._held: HeldBuild | None = None
        self._look: asyncio.Task[Ruling] | None = None
        self._delay_s = _AGAIN_S
        self._again_at = 0.0

    @property
    def held(self) -> HeldBuild | None:
        """Why the build does not answer, by the last look; None where nothing but time is in the way."""
        return self._held

    def ruling(self, new: Lane, old: Lane | None) -> Ruling:
        """Whether a build may answer now; UNDECIDED while that is being found out.

        Args:
            new: the build's lane, which has caught up.
            old: of the build that answers; None where no lane folds it.

        Raises:
            Exception: a store cannot be read.
        """
        if self._gate.rolled_back:
            return self.hold(new, "manual", "it was rolled back")
        if self._promote == "manual":
            return self.hold(new, "manual", "it has caught up, and waits to be promoted")
        if self._promote == "when_caught_up" and (self._gate.although_parked or old is None or not _parks(new)):
            return OPEN
        if old is None:
            why = "no lane folds the build that answers, so that there is nothing to compare with"
            return self.hold(new, "when_equal", why)
        return self._looked(new, old)

    def hold(self, new: Lane, gate: str, why: str) -> HeldBuild:
        """Keep a build from answering, and note why unless that is known."""
        found = HeldBuild(new.build, gate, why)
        if found != self._held:
            self._note(found)
            self._held = found
        return found

    def goes_on(self) -> None:
        """Note that a build which had halted is folded again."""
        if self._held is not None and self._held.gate == HALTED:
            self._held = None
            self._note(None)

    def _looked(self, new: Lane, old: Lane) -> Ruling:
        if self._look is None:
            if monotonic() < self._again_at:
                return self._held or UNDECIDED
            args = (new.store, old.store, new.build, old.build)
            self._look = asyncio.create_task(asyncio.to_thread(self._look_at, *args))
        if not self._look.done():
            return self._held or UNDECIDED
        look, self._look = self._look, None
        found = look.result()
        if isinstance(found, HeldBuild):
            self._again_at = monotonic() + self._delay_s
            self._delay_s = min(2 * self._delay_s, _LONGEST_S)
            return self.hold(new, found.gate, found.why)
        return found

    def _look_at(self, new: ViewReader, old: ViewReader, build: int, answers: int) -> Ruling:
        with ExitStack() as opened:
            one, other = opened.enter_context(new.snapshot()), opened.enter_context(old.snapshot())
            if not self._gate.although_parked:
                parked = newly_parked(other, one)
                if parked:
                    return HeldBuild(build, "parked", f"it parks what build {answers} does not: {parked}")
                if parked.is_ahead:
                    return UNDECIDED
            if self._promote != "when_equal":
                return OPEN
            if one.position.scanned != other.position.scanned:
                return UNDECIDED
            first = next(differing(other, one, VIEWS), None)
            if first is None:
                return OPEN
            key = ViewKey.parse(first[0].decode())
            where = f"the view {str(key.view_id)!r} of tenant {str(key.tenant_id)!r}"
            what = "differs" if None not in first else f"is only in build {answers if first[2] is None else build}"
            at = one.position.scanned
            return HeldBuild(build, "when_equal", f"{where} {what} at event {at}; `projection compare` shows all")


def parks(new: ViewReader, old: ViewReader, answers: int) -> str | None:
    """What a build parks that the one that answers does not, in words; None where there is nothing."""
    with new.snapshot() as one, old.snapshot() as other:
        found = newly_parked(other, one)
        return f"it parks what build {answers} does not: {found}" if found else None


def _parks(lane: Lane) -> bool:
    return lane.parked > 0 or bool(lane.suspensions)
