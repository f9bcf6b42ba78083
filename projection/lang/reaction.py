"""What a program does with one type of event: where each event goes, also one that it cannot take."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from projection.errors import DecodeError
from projection.lang import failures
from projection.lang import types as ty
from projection.lang.cost import costs
from projection.lang.routes import KnownIds, reduced
from projection.lang.values.codec import Codec, JsonCodec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projection.lang import core
    from projection.lang.program import Program, Runnable, Step

_ENOUGH = 1_000  # gas, for a route that only reads a field
_UNDECODED = object()
_JSON = ty.Record("json", "event")  # stands for an event that is json: whoever reads of it reads all of it


class Reaction:
    """What a program does with one type of event."""

    def __init__(self, program: Program, record: ty.Record | None, runs: Sequence[Runnable]) -> None:
        """What a program does with an event of this record; None for one that it takes as json."""
        self._program = program
        self._record = record
        self._runs = runs
        codec = JsonCodec() if record is None else Codec(record)
        self.decode: Callable[[Any], Any] = codec.decode  # the event from its payload's JSON; raises DecodeError, D105
        self._for_routes: list[Callable[[Any], Any]] | None = None
        # Most events go one way: their one handler has no `for`, and its id is a field.
        self._only = runs[0] if len(runs) == 1 and runs[0].goes_straight else None
        self._route_gas, self._alloc = program.limits.route_gas, program.limits.alloc

    @property
    def handlers(self) -> tuple[core.Handler, ...]:
        """What takes the event, in source order."""
        return tuple(run.handler for run in self._runs)

    def take(self, payload: Any, meta: Any) -> tuple[Any, dict[str, list[Step]], int]:
        """The decoded event, the views that it touches, and the gas of both.

        Raises:
            DecodeError: D105, the payload does not fit the declared event.
            Failure: the event reaches no view at all.
        """
        gas = costs.EVENT + len(payload)  # `payload_gas`, without a call for each event
        event = self.decode(payload)
        run = self._only
        try:
            if run is not None and self._route_gas >= _ENOUGH:
                view_id, left, _alloc = run.route(self._route_gas, self._alloc, None, None, event, meta, None)
                if view_id:
                    return event, {view_id: [(run, None)]}, gas + self._route_gas - left
            targets, routing = self.route(event, meta)
        except failures.Failure as failure:
            failure.gas += gas
            raise
        return event, targets, gas + routing

    def route(self, event: Any, meta: Any) -> tuple[dict[str, list[Step]], int]:
        """See `Program.route`."""
        return self._program.route(self._runs, event, meta)

    def known_ids(self, payload: Any, meta: Any) -> KnownIds:
        """The views of an event that `take` refuses, as far as they can be known.

        A route whose fields decode leads somewhere, whatever is wrong with the others; so does each route beside one
        that fails, and each of too many ids.
        """
        found: dict[str, None] = {}
        complete = True
        whole: Any = _UNDECODED
        with suppress(DecodeError):
            whole = self.decode(payload)
        for run, decode in zip(self._runs, self._decoders_for_routes(), strict=True):
            try:
                event = whole if whole is not _UNDECODED else decode(payload)
            except DecodeError:
                complete = False
                continue
            complete &= self._program.add_known_ids(run, event, meta, found)
        return KnownIds(tuple(found), complete)

    def _decoders_for_routes(self) -> Sequence[Callable[[Any], Any]]:
        """What decodes, for each handler, only what its route reads; made when an event first fails."""
        if self._for_routes is None:
            made: list[Callable[[Any], Any]] = []
            for run in self._runs:
                read = reduced(self._record or _JSON, run.handler)
                if read is None:
                    made.append(_undecoded)
                else:  # json is one value: it is decoded as a whole or not at all
                    made.append(self.decode if self._record is None else Codec(read).decode)
            self._for_routes = made
        return self._for_routes


def _undecoded(_payload: Any) -> None:
    """For a route that reads nothing of the payload."""
