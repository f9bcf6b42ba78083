"""The envelope: one domain event as it comes from the log, decoded once for all that fold it.

A msgspec structure rather than a pydantic model: it is decoded once per event, in one pass in C, and its payload stays
the bytes that came, so that the program's own schema reads it exactly (docs/decisions/0002-exact-json.md).
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from projection.errors import DecodeError, TenantAccessError
from projection.model.ids import DEFAULT_TENANT, TenantId, tenant_of_event
from projection.nested import shallow

MAX_ENVELOPE_BYTES = 8 * 1024 * 1024
MAX_TEXT = (
    1024  # code points of what a program reads of an envelope: as long as a subject's token, and gas can count on it
)

_Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]


class Envelope(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One domain event; unknown fields are ignored (and kept where the whole event is kept, as bytes)."""

    aggregate_type: _Text
    aggregate_id: _Text
    event_type: _Text
    payload: msgspec.Raw
    timestamp: str
    tenant_id: str | None = None
    correlation_id: _Text | None = None
    traceparent: str | None = None
    trace_id: str | None = None
    event_id: _Text | None = None

    def __hash__(self) -> int:
        return hash((self.aggregate_id, self.event_type, self.timestamp, bytes(self.payload)))  # `Raw` has no hash


_decoder = msgspec.json.Decoder(Envelope)


def decode_envelope(data: bytes) -> Envelope:
    """The envelope in these bytes.

    Raises:
        DecodeError: D101 not JSON, D102 not an envelope (a field is missing, or has the wrong type), D104 too large.
    """
    if len(data) > MAX_ENVELOPE_BYTES:
        raise DecodeError(f"the event is {len(data)} bytes; {MAX_ENVELOPE_BYTES} are allowed", code="D104")
    try:
        try:
            return _decoder.decode(data)
        except RecursionError:
            return _decoder.decode(shallow(data))
    except msgspec.ValidationError as error:
        raise DecodeError(f"the event is not an envelope: {error}", code="D102") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError(f"the event is not JSON: {error}", code="D101") from None


class Tenancy(msgspec.Struct, frozen=True):
    """Whether tenants exist, and which one an event without a tenant belongs to."""

    enabled: bool = True
    default: TenantId = DEFAULT_TENANT

    def tenant_of(self, envelope: Envelope, by_subject: TenantId | None) -> TenantId:
        """Whose event this is: the subject says, and the envelope may not say otherwise. Empty names the default.

        Raises:
            TenantAccessError: the envelope names another tenant, either names one while multi-tenancy is off, or no
                tenant has such an id.
        """
        return self.owner(envelope.tenant_id, by_subject)

    def owner(self, named: str | None, by_subject: TenantId | None) -> TenantId:
        """The same, of an event that names this tenant.

        Raises:
            TenantAccessError: as `tenant_of`.
        """
        if by_subject is None:
            try:
                owner = tenant_of_event(named or "") or self.default
            except ValueError as error:
                raise TenantAccessError(str(error)) from None
        else:
            owner = by_subject or self.default
            if named is not None and (named or self.default) != owner:
                raise TenantAccessError(
                    f"the event names tenant {named!r}, but its subject belongs to tenant {str(owner)!r}"
                )
        if not self.enabled and owner != self.default:
            raise TenantAccessError(f"the event names tenant {str(owner)!r} while multi-tenancy is off")
        return owner
