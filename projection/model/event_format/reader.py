"""Envelopes out of messages whose parts stand where a manifest says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from projection.errors import DecodeError
from projection.model.envelope import MAX_ENVELOPE_BYTES
from projection.model.event_format import cloudevents
from projection.model.event_format.declaration import CLOUDEVENTS, PARTS
from projection.model.event_format.encodings.coding import MEDIA_TYPES, coding
from projection.model.event_format.encodings.compressed import HEADER
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
_COMPRESSED = re.compile(rb"\r\ncontent-encoding:", re.IGNORECASE)
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
        as_json = coding(declared.encoding)
        self._is_coded = as_json is not None
        # For each template of a subject: what matches it, and how to read a message, with its attributes in the
        # headers and in the body.
        self._plans: list[tuple[Callable[[str], re.Match[str] | None], Plan, Plan]] = []
        # In small letters; what is kept of the headers of an event that is parked.
        self.header_names: set[str] = {*cloudevents.MODE_HEADERS} if self._is_cloudevents else set()
        for pattern in map(SubjectPattern, declared.subjects):
            if self._is_cloudevents:
                inside, outside = cloudevents.in_body(parts), cloudevents.in_headers(parts)
                coded = as_json, MEDIA_TYPES[declared.encoding.name]
                binary = Plan(outside, ignored, *written, pattern.places, cloudevents.VERSION_IN_HEADERS, *coded)
                plan = Plan(inside, ignored, *written, pattern.places, cloudevents.VERSION_IN_BODY, *coded)
            else:
                binary = plan = Plan(parts, ignored, *written, pattern.places, None, as_json)
            self._plans.append((re.compile(pattern.regex).fullmatch, binary, plan))
            self.header_names |= plan.header_names | binary.header_names
        self._are_any_read = bool(self.header_names)
        self.header_names.add(HEADER)

    def read(self, message: StoredMessage) -> Envelope:
        """The envelope of a message.

        Raises:
            NoEvent: the message is none.
            DecodeError: D101 its body is not in its encoding, D102 a part is missing or not what it should be, D104 it
                is too large.
            ConfigurationError: what decompresses it is not installed.
        """
        if len(message.data) > MAX_ENVELOPE_BYTES:
            raise DecodeError(f"the event is {len(message.data)} bytes; {MAX_ENVELOPE_BYTES} are allowed", code="D104")
        plan, groups, headers, is_coded = self._found(message)
        return plan.envelope(message, groups, headers, is_coded=is_coded)

    def tenant_of(self, message: StoredMessage) -> str | None:
        """The tenant of a message that cannot be read, as far as its subject and headers tell.

        Raises:
            DecodeError, NoEvent: they do not.
        """
        plan, groups, headers, _ = self._found(message)
        return plan.outer_tenant(message, groups, headers)

    def _found(self, message: StoredMessage) -> tuple[Plan, Sequence[str], Mapping[str, str], bool]:
        """How to read a message, what its subject says at each place, its headers, and whether its body is no JSON."""
        for match, binary, plan in self._plans:
            if (found := match(message.subject)) is not None:
                headers = self._headers(message.headers)
                if not self._is_cloudevents:
                    return plan, found.groups(), headers, self._is_coded
                try:
                    is_binary = cloudevents.is_binary(headers)
                except DecodeError:
                    plan.require_event(message, found.groups(), headers)
                    raise
                if not is_binary:
                    return plan, found.groups(), headers, False
                is_json = cloudevents.is_json(cloudevents.data_type(headers))
                return binary, found.groups(), headers, self._is_coded and not is_json
        raise NoEvent(OTHER_SUBJECT)

    def _headers(self, block: bytes) -> Mapping[str, str]:
        if block and (self._are_any_read or _COMPRESSED.search(block)):
            return chosen_headers(block, self.header_names)
        return _NO_HEADERS
