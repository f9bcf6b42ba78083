"""How far a fold has come, and of which log."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value: frozen, hashable, copyable, picklable, with no field that nobody declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StreamIdentity(NamedTuple):
    """What tells one log from another of the same name."""

    name: str
    created: str  # the server's own text, compared and never computed with


class Checkpoint(Frozen):
    """A tenant's progress in one view type: the last event applied for it, and what that event was."""

    sequence: int
    metadata: dict[str, str] = {}  # timestamp and event type of that event

    def __hash__(self) -> int:
        return hash((self.sequence, *sorted(self.metadata.items())))


class LanePosition(Frozen):
    """How far a lane has come; the only thing that decides where it reads on.

    `applied` ≤ `scanned`: the lane has seen every sequence up to `scanned`, and the last that reached its program (or
    was parked) is `applied`. `messages` counts what it has seen of its subjects since its start; None where a store did
    not count from there. The times are the log's own of these two messages, where they are known: with `stream` they
    recognise the log.
    """

    scanned: int = 0
    scanned_time: str | None = None
    applied: int = 0
    applied_time: str | None = None
    stream: StreamIdentity | None = None
    messages: int | None = None
