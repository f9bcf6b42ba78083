"""When a new build may replace the one that answers: its gate."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

Promote: TypeAlias = Literal["when_caught_up", "when_equal", "manual"]


class Gate(NamedTuple):
    """What has to be true of a build before it answers; it always has to have caught up."""

    promote: Promote | None = None  # None: as the settings of the node say
    although_parked: bool = False  # whether it may answer although it parks events that the other build did not
    rolled_back: bool = False  # whether an operator went back from it: it answers again only when promoted by hand


BY_SETTINGS = Gate()


class HeldBuild(NamedTuple):
    """A build that could answer and does not, and why."""

    build: int
    gate: str  # what is in the way: `manual`, `when_equal`, `parked`, `fewer_messages` or `halted`
    why: str
