"""Whether events that are kept beside programs, as envelopes, in their short form or as recorded messages, fit them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from projection.errors import ConfigurationError, DecodeError, ProjectionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from projection.engine.replay import FileEvents
    from projection.lang.check.checker import CheckedProgram
    from projection.model.envelope import Envelope
    from projection.model.manifest import ManifestView

_ERROR = "error"
_UNDESCRIBED = "no `events` of a manifest here describe this message, so it is read as an envelope"


class Misfit(NamedTuple):
    """What is wrong with one event, or unusual."""

    code: str
    message: str
    hint: str
    severity: str


class RecordedMessages:
    """Reads recorded messages as the manifests of some programs describe them.

    Args:
        path: of the manifest or the program that they are for, or of its folder.
        views: what the manifests that were looked at say of the programs there; none: that of the path counts, or the
            defaults where it has none.
    """

    def __init__(self, path: Path, views: Iterable[ManifestView] = ()) -> None:
        self._path, self._views = path, tuple(views)

    @cached_property
    def _readers(self) -> list[tuple[FileEvents, bool]]:
        """One for each way in which the messages are described, and whether they are; none where that is not known."""
        from projection.engine.replay import FileEvents
        from projection.model.envelope import Tenancy
        from projection.testing.finding import manifest_of

        try:
            views = self._views or manifest_of(self._path).views
        except ConfigurationError:
            return []  # what is wrong with a manifest is said where it is checked
        distinct = {(repr(view.events), str(view.subject_template)): view for view in views}
        return [(FileEvents(view, Tenancy()), view.events is not None) for view in distinct.values()]

    def read(self, line: bytes) -> Iterator[Envelope | ProjectionError | None]:
        """What each of the descriptions makes of a message: an event, an error, or None where it is no event."""
        for reader, is_described in self._readers:
            event = reader.event(1, line)
            if event.error is not None and event.error.hint is None and not is_described:
                yield type(event.error)(event.error.message, hint=_UNDESCRIBED, code=event.error.code)
            else:
                yield event.error or event.envelope


class Fit:
    """Whether events fit what the programs of a folder declare."""

    def __init__(self, programs: Iterable[CheckedProgram], recorded: RecordedMessages) -> None:
        from projection.lang.handled import HandledTypes
        from projection.lang.values.codec import Codec

        programs = list(programs)
        self._recorded = recorded
        self._handled = HandledTypes.of(programs)
        self._told: set[tuple[str, str]] = set()
        self._known = [
            (set(event.wires or (name,)), event.aggregate_type, Codec(program.events[name]))
            for program in programs
            for name, event in program.event_declarations.items()
        ]

    def problems(self, data: bytes) -> Iterator[Misfit]:
        """What there is to say of an event's JSON: at most one thing."""
        from projection.stream.recorded import is_recorded

        read = list(self._recorded.read(data)) if is_recorded(data) else [self._envelope(data)]
        misfits = [self._problem(one) for one in read]
        found = None if None in misfits else next(iter(misfits), None)
        if found is not None:  # one description that takes it is enough
            yield Misfit(found.code, found.message, found.hint or "", _ERROR)
        for one, misfit in zip(read, misfits, strict=True):
            if misfit is None and not isinstance(one, ProjectionError | None):
                yield from self._unhandled(one)
                return

    def _problem(self, event: Envelope | ProjectionError | None) -> ProjectionError | None:
        from projection.model.timestamp import parse_timestamp

        if event is None or isinstance(event, ProjectionError):
            return event
        try:
            parse_timestamp(event.timestamp)
            for wires, aggregate_type, codec in self._known:
                if event.event_type in wires and aggregate_type in (None, event.aggregate_type):
                    codec.decode(event.payload)
        except DecodeError as error:
            return error
        except ValueError as error:
            return DecodeError(f"the event is not an envelope: {error}", code="D102")
        return None

    def _unhandled(self, envelope: Envelope) -> Iterator[Misfit]:
        """That no program handles events of this type; once for each type."""
        from projection.lang.diagnostics import unhandled_event
        from projection.lang.handled import shown
        from projection.lang.source import Span

        key = envelope.aggregate_type, envelope.event_type
        if self._handled.takes(*key) or key in self._told or not self._handled.types:
            return  # a folder without a program that checks has other troubles
        self._told.add(key)
        lint = unhandled_event(
            Span(0, 0), shown(envelope.event_type), shown(envelope.aggregate_type), self._handled.guess(*key)
        )
        yield Misfit(lint.code, lint.message, lint.help, lint.severity)

    def _envelope(self, data: bytes) -> Envelope | ProjectionError:
        import msgspec

        from projection.model.envelope import decode_envelope

        try:
            fields: Mapping[str, object] = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        except (msgspec.MsgspecError, UnicodeDecodeError):
            fields = {}
        try:
            if "type" not in fields or "event_type" in fields:
                return decode_envelope(data)
            from projection.testing.given import FIRST_TIME, given_event

            return given_event(data, "", FIRST_TIME, self._aggregate_of).envelope
        except DecodeError as error:
            return error
        except ConfigurationError as error:
            return DecodeError(error.message.removeprefix(": "), hint=error.hint, code="D102")

    def _aggregate_of(self, event_type: str) -> str:
        return next((of for wires, of, _ in self._known if event_type in wires and of), "aggregate")
