"""The log's side of a node's state: each change is logged once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from projection.engine.unhandled import MAX_TYPES
from projection.model.event_format.plan import IGNORED, NO_SCHEMA
from projection.model.event_format.reader import OTHER_SUBJECT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from projection.engine.lane import Lane
    from projection.model.ids import ViewType
    from projection.model.parked import Suspension

log = structlog.get_logger(component="node")

_WHY_NO_EVENTS = {  # where it is the manifest that says so, and nothing was deleted
    IGNORED: "`ignore` in the manifest says so",
    OTHER_SUBJECT: "no template of `subjects` in the manifest has this subject",
    NO_SCHEMA: "`encoding` in the manifest names no schema for this type",
}


class StatusLog:
    """Logs troubles that come and go, what is suspended, types of unhandled events, and that the node is ready."""

    def __init__(self) -> None:
        self._troubles: Mapping[str, str] = {}
        self._suspended: set[tuple[ViewType, int, Suspension]] = set()
        self._unhandled = 0  # types that were logged
        self._was_ready = False

    def tell(self, troubles: Mapping[str, str], lanes: Iterable[Lane], *, is_ready: bool) -> None:
        """Log what has changed since the last call.

        Args:
            troubles: by what each concerns.
            lanes: of the node, as they are now.
            is_ready: whether the node is; only the first time is logged.
        """
        for what, trouble in troubles.items():
            if self._troubles.get(what) != trouble:
                tell = log.error if trouble.startswith("halted") else log.warning
                tell("trouble", at=what, reason=trouble)
        for what in self._troubles.keys() - troubles.keys():
            log.info("well again", at=what)
        self._troubles = troubles
        suspended = {(lane.view_type, lane.build, one) for lane in lanes for one in lane.suspensions}
        for view_type, build, one in suspended - self._suspended:
            log.warning(
                "nothing more is folded for a view or a tenant: too many of its events are parked",
                view_type=view_type,
                build=build,
                tenant=one.tenant_id,
                view=one.view_id or "all",
                sequence=one.sequence,
                hint="correct the program or raise the manifest's limits, and `projection deploy`; then `projection "
                "rebuild`, if nothing folds anew by that",
            )
        self._suspended = suspended
        if is_ready and not self._was_ready:
            self._was_ready = True
            log.info("ready: every view type has caught up with the log")

    def tell_unhandled(self, aggregate_type: str, event_type: str, guess: str | None) -> None:
        """Log that no program handles events of a type; `guess` says which one may have been meant."""
        tell = log.info if guess is None else log.warning  # whoever reads a part of a log only has many such types
        more = {} if guess is None else {"hint": guess}
        tell("no program handles events of this type", event_type=event_type, aggregate_type=aggregate_type, **more)
        self._unhandled += 1
        if self._unhandled == MAX_TYPES:
            log.info("further types of unhandled events are counted and not told", types=MAX_TYPES)

    def tell_marker(self, kind: str, subject: str) -> None:
        """Log that a message is no event: the first one of its kind."""
        tell = log.info if kind == IGNORED else log.warning
        tell(
            "the stream holds messages that are no events; they are counted and passed over",
            kind=kind,
            subject=subject,
            hint=_WHY_NO_EVENTS.get(kind, "views keep what such a message stands for: let events say what was deleted"),
        )
