"""A new build in the place of a former one: when it may serve, and whether the log gave it all that the other has seen.

A log may have lost messages since the former build was folded. A fold of what is left comes to less, without an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from projection.errors import ErrorClass, ProjectionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.engine.lane import Lane
    from projection.model.checkpoint import LanePosition


class FewerMessagesError(ProjectionError):
    """A new build has seen fewer messages than the one that it was to replace."""

    error_class = ErrorClass.CONFIGURATION
    default_code = "build.fewer_messages"


@dataclass(frozen=True, slots=True)
class Succession:
    """A build that replaces another one once it has caught up with it."""

    new: Lane
    old: Lane | None  # that goes on meanwhile; None where nothing can fold it any more
    serve: Callable[[], None]  # makes the switch
    former: LanePosition | None = None  # of the build that answers, where no lane folds it
    must_see_all: bool = True  # whether it may not serve where it has seen fewer messages of the log


def fewer_messages(one: Succession) -> FewerMessagesError | Literal[False] | None:
    """Whether a new build that has caught up has seen fewer messages than the other; None while that is not certain.

    They rarely stand at the same sequence. What the new one is ahead by holds at most as many messages as sequences.
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


def _refusal(one: Succession, seen: int, wanted: int) -> FewerMessagesError:
    view_type = one.new.view_type
    return FewerMessagesError(
        f"build {one.new.build} of view type {view_type} has seen {seen:,} messages of the log, and the build that "
        f"answers {wanted:,}: the log has lost some since, so that the new views would lack their effect; the former "
        "build goes on answering",
        hint="restore the log, or run `projection adopt`; if the loss is meant, start with --accept-fewer-messages",
    )
