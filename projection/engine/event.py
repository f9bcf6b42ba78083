"""An event on its way: a message of the log, decoded once for all lanes that fold it."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from projection.errors import DecodeError, ProjectionError, TenantAccessError
from projection.lang.program import MessageMeta, Meta
from projection.lang.values.plain import plain_text
from projection.model.envelope import MAX_TEXT, Envelope, Tenancy, decode_envelope
from projection.model.event_format.headers import chosen_headers
from projection.model.event_format.plan import NoEvent
from projection.model.event_format.reader import FormatReader
from projection.model.timestamp import parse_timestamp
from projection.model.traceparent import parent_of, sampled_parent

if TYPE_CHECKING:
    from projection.lang.message_parts import MessageParts
    from projection.model.event_format.declaration import EventFormat
    from projection.model.ids import TenantId
    from projection.model.manifest import ManifestView
    from projection.model.subjects import SubjectTemplate
    from projection.model.traceparent import TraceParent
    from projection.stream.port import Message


_REMEMBERED = 65_536  # tenants
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Event(msgspec.Struct, eq=False, gc=False):
    """One message with its envelope, or with the error that kept it from having one."""

    message: Message
    tenant_id: TenantId  # of the subject; the default one where the subject names none that is legal
    envelope: Envelope | None = None
    meta: Any = None  # what programs see of the envelope
    error: ProjectionError | None = None
    no_event: str = ""  # what it is where the manifest says that it is none


class EventReader:
    """Makes events of messages that hold envelopes, by the subjects' form and the tenancy of the node."""

    def __init__(self, template: SubjectTemplate, tenancy: Tenancy) -> None:
        self._tenant_of = template.tenant_reader()
        self._tenancy = tenancy

    def read(self, message: Message, envelope: Envelope | None = None) -> Event:
        """The event of a message; what is wrong with it is in the event, for every lane to park.

        Args:
            message: of the log.
            envelope: what the message holds, where the caller knows that already.
        """
        tenancy = self._tenancy
        tenant_id = tenancy.default
        try:
            try:
                by_subject = self._tenant_of(message.subject)
            except ValueError as error:
                raise TenantAccessError(str(error)) from None
            if by_subject is not None and tenancy.enabled:
                tenant_id = by_subject
            envelope = envelope or decode_envelope(message.data)
            if not by_subject or envelope.tenant_id != by_subject or not tenancy.enabled:  # else there is no question
                tenant_id = tenancy.tenant_of(envelope, by_subject)
            return Event(message, tenant_id, envelope, meta_of(envelope, tenant_id, message.sequence))
        except (DecodeError, TenantAccessError) as error:
            return Event(message, tenant_id, error=error)


class DescribedReader:
    """Makes events of messages that a manifest describes."""

    def __init__(self, described: EventFormat, tenancy: Tenancy) -> None:
        self._format = FormatReader(described)
        self._tenancy = tenancy
        # There are fewer tenants than events, and each is an id to be checked.
        self._owner = lru_cache(_REMEMBERED)(lambda named: tenancy.owner(named, None))

    def read(self, message: Message, envelope: Envelope | None = None) -> Event:
        """The event of a message, as `EventReader.read`."""
        tenant_id = self._tenancy.default
        try:
            try:
                envelope = envelope or self._format.read(message)
            except DecodeError:
                with suppress(ProjectionError):
                    tenant_id = self._owner(self._format.tenant_of(message))
                raise
            tenant_id = self._owner(envelope.tenant_id)
            return Event(message, tenant_id, envelope, meta_of(envelope, tenant_id, message.sequence))
        except NoEvent as error:
            return Event(message, tenant_id, no_event=str(error))
        except (DecodeError, TenantAccessError) as error:
            return Event(message, tenant_id, error=error)


def event_reader(entry: ManifestView, tenancy: Tenancy) -> EventReader | DescribedReader:
    """What makes events of the messages of a manifest."""
    if entry.events is None:
        return EventReader(entry.subject_template, tenancy)
    return DescribedReader(entry.events, tenancy)


def with_message(event: Event, parts: MessageParts | None) -> Event:
    """The event as a program sees it that reads these parts of its message; None: it reads none.

    What is wrong with such a part is in the event that is returned: other programs can take it.
    """
    if parts is None or event.envelope is None:
        return event
    message = event.message
    headers = chosen_headers(message.headers, parts.headers) if parts.headers and message.headers else {}
    texts = {f"header {name!r}": text for name, text in headers.items()}
    for name, text in {**texts, "subject": message.subject if parts.subject else ""}.items():
        if len(text) > MAX_TEXT:
            error = DecodeError(f"the {name} of the message is longer than {MAX_TEXT} characters", code="D102")
            return Event(message, event.tenant_id, error=error)
    meta = MessageMeta(
        **{name: getattr(event.meta, name) for name in Meta.__struct_fields__},
        _headers=headers,
        _stored_at=stored_at(message) if parts.stored_at else None,
        _subject=message.subject if parts.subject else "",
    )
    return Event(message, event.tenant_id, event.envelope, meta)


def trace_of(event: Event) -> TraceParent | None:
    """The span that an event comes from, by its envelope or its message's headers; None where there is none."""
    return parent_of(None if event.envelope is None else event.envelope.traceparent, event.message.headers)


def recorded_parent(event: Event) -> TraceParent | None:
    """That span if its producer records it."""
    return sampled_parent(None if event.envelope is None else event.envelope.traceparent, event.message.headers)


def stored_at(message: Message) -> datetime | None:
    """When the log stored a message; None where no log has, as of a line of a file. What is finer than µs is cut."""
    return _EPOCH + timedelta(microseconds=int(message.time) // 1_000) if message.time else None


def meta_of(envelope: Envelope, tenant_id: TenantId, sequence: int) -> Any:
    """What programs see of an event beside its payload.

    Raises:
        DecodeError: D102, its timestamp is none.
    """
    try:
        moment = parse_timestamp(envelope.timestamp)
    except ValueError as error:
        raise DecodeError(f"the event is not an envelope: {error}", code="D102") from None
    return Meta(
        aggregate_id=envelope.aggregate_id,
        aggregate_type=envelope.aggregate_type,
        correlation_id=envelope.correlation_id,
        date=moment.date,
        event_id=envelope.event_id,
        sequence=sequence,
        tenant_id=plain_text(tenant_id),
        time=moment.time,
        type=envelope.event_type,
    )
