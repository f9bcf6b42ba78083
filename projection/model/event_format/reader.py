"""Envelopes out of messages whose parts stand where a manifest says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from projection.errors import DecodeError
from projection.model.envelope import MAX_ENVELOPE_BYTES
from projection.model.event_format import cloudevents
from projection.model.event_format.declaration import CLOUDEVENTS, PARTS
from projection.model.event_format.headers import chosen_headers
from projection.model.event_format.plan import NoEvent, Plan
from projection.model.event_format.sources import parse_source, sources_of
from projection.model.event_format.subject_patterns import SubjectPattern

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from projection.model.envelope import Envelope
    from projection.model.event_format.declaration import EventFormat
    from projection.model.event_format.plan import StoredMessage

OTHER_SUBJECT = "of another subject"  # that no template of the manifest takes, though a filter does
_NO_HEADERS: Mapping[str, str] = {}


def header_names(declared: EventFormat | None) -> Collection[str]:
    """The headers that are read of events of a format, in small letters; None: they hold envelopes, and none are."""
    return () if declared is None else FormatReader(declared).header_names


class FormatReader:
    """Makes an envelope of each message of one format."""

    def __init__(self, declared: EventFormat) -> None:
        parts = {part: sources_of(declared.sources(part)) for part in PARTS}
        parts |= {f"ignored_{number}": (parse_source(text),) for number, (text, _) in enumerate(declared.ignore)}
        ignored = [frozenset(values) for _, values in declared.ignore]
        written = declared.timestamp.form, declared.timestamp.offset
        self._is_cloudevents = declared.format == CLOUDEVENTS
        # For each template of a subject: what matches it, and how to read a message, with its attributes in the
        # headers and in the body.
        self._plans: list[tuple[Callable[[str], re.Match[str] | None], Plan, Plan]] = []
        # In small letters; what is kept of the headers of an event that is parked.
        self.header_names: set[str] = {*cloudevents.MODE_HEADERS} if self._is_cloudevents else set()
        for pattern in map(SubjectPattern, declared.subjects):
            if self._is_cloudevents:
                inside, outside = cloudevents.in_body(parts), cloudevents.in_headers(parts)
                binary = Plan(outside, ignored, *written, pattern.places, cloudevents.VERSION_IN_HEADERS)
                plan = Plan(inside, ignored, *written, pattern.places, cloudevents.VERSION_IN_BODY)
            else:
                binary = plan = Plan(parts, ignored, *written, pattern.places)
            self._plans.append((re.compile(pattern.regex).fullmatch, binary, plan))
            self.header_names |= plan.header_names | binary.header_names

    def read(self, message: StoredMessage) -> Envelope:
        """The envelope of a message.

        Raises:
            NoEvent: the message is none.
            DecodeError: D101 its body is not JSON, D102 a part is missing or not what it should be, D104 it is too
                large.
        """
        if len(message.data) > MAX_ENVELOPE_BYTES:
            raise DecodeError(f"the event is {len(message.data)} bytes; {MAX_ENVELOPE_BYTES} are allowed", code="D104")
        plan, groups, headers = self._found(message)
        return plan.envelope(message, groups, headers)

    def tenant_of(self, message: StoredMessage) -> str | None:
        """The tenant of a message that cannot be read, as far as its subject and headers tell.

        Raises:
            DecodeError, NoEvent: they do not.
        """
        plan, groups, headers = self._found(message)
        return plan.outer_tenant(message, groups, headers)

    def _found(self, message: StoredMessage) -> tuple[Plan, Sequence[str], Mapping[str, str]]:
        """How to read a message, what its subject says at each place, and its headers."""
        for match, binary, plan in self._plans:
            if (found := match(message.subject)) is not None:
                headers = self._headers(message.headers)
                is_binary = self._is_cloudevents and cloudevents.is_binary(headers)
                return binary if is_binary else plan, found.groups(), headers
        raise NoEvent(OTHER_SUBJECT)

    def _headers(self, block: bytes) -> Mapping[str, str]:
        return chosen_headers(block, self.header_names) if block and self.header_names else _NO_HEADERS
