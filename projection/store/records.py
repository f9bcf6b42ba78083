"""What a lane's store holds beside views and checkpoints: the keys and the JSON of its own records."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from hashlib import sha256

from projection.model.escaping import escape_id, escape_part
from projection.model.ids import TenantId, ViewId
from projection.model.parked import ParkedEvent, Suspension, Unrecorded

OF_LANE = b"lane:"  # what the keys of the lane's own records begin with
CHANGES = b"lane:changes"
DIGEST = b"lane:digest"
EPOCH = b"lane:epoch"
FOLD_IDENTITY = b"lane:fold_identity"
INDEXES = b"lane:indexes"
POSITION = b"lane:position"
VIEW_COUNT = b"lane:view_count"
PARKED = b"parked:"
SUSPENDED = b"suspended:"
UNREACHED = b"unreached:"
UNRECORDED = b"lane:unrecorded"

_MAX_ID_BYTES = 240  # of a view id in such a key: with the longest tenant the key stays below LMDB's 511
_ALONE = b"-"  # stands for no view id; sorts before `=`, which begins every part that holds one
_END = b"\x00"  # behind the view id; no escaped id holds it, and it sorts before what goes on


def shortened(escaped: bytes) -> bytes:
    """An escaped view id in a key that holds more than the id: a long one is cut, and told apart by its hash."""
    if len(escaped) <= _MAX_ID_BYTES:
        return escaped
    return escaped[: _MAX_ID_BYTES - 65] + b"\xff" + sha256(escaped).hexdigest().encode()  # no UTF-8 has that byte


def _part(view_id: ViewId | None) -> bytes:
    return _ALONE if view_id is None else b"=" + shortened(escape_id(view_id).encode())


def tenant_prefix(tenant_id: TenantId) -> bytes:
    """What the keys of all parked events of a tenant begin with, and no others."""
    return PARKED + escape_part(tenant_id).encode() + b":"


def parked_prefix(tenant_id: TenantId, view_id: ViewId | None) -> bytes:
    """What the keys of one view's parked events begin with, and no others: `parked:{tenant}:={view_id}` and 0x00.

    An id may be parked *because* it is too long for a key, so here a long one is cut.
    """
    return tenant_prefix(tenant_id) + _part(view_id) + _END


def parked_key(event: ParkedEvent) -> bytes:
    """Where a parked event is kept; the keys' order is that of tenant, view id (None first) and sequence."""
    return parked_prefix(event.tenant_id, event.view_id) + b"%020d" % event.sequence


def encode_parked(event: ParkedEvent) -> bytes:
    """A parked event as JSON; its envelope may be any bytes and travels as base64."""
    fields = event.model_dump(mode="json", exclude={"envelope"})
    if not event.is_described:
        del fields["headers"], fields["stored"]
    return json.dumps({**fields, "envelope": b64encode(event.envelope).decode()}, ensure_ascii=False).encode()


def decode_parked(data: bytes) -> ParkedEvent:
    """The inverse of `encode_parked`.

    Raises:
        ValueError: the bytes are not a parked event.
    """
    fields = json.loads(data)
    return ParkedEvent.model_validate({**fields, "envelope": b64decode(fields["envelope"], validate=True)})


def suspended_prefix(tenant_id: TenantId) -> bytes:
    """What the keys of all suspensions of a tenant begin with, and no others."""
    return SUSPENDED + escape_part(tenant_id).encode() + b":"


def suspended_key(tenant_id: TenantId, view_id: ViewId | None) -> bytes:
    """Where it is kept that a view is suspended, or with None a whole tenant."""
    return suspended_prefix(tenant_id) + _part(view_id)


def encode_suspension(one: Suspension) -> bytes:
    """A suspension as JSON; a long id is cut in its key."""
    return json.dumps(one, ensure_ascii=False).encode()


def decode_suspension(data: bytes) -> Suspension:
    """The inverse of `encode_suspension`.

    Raises:
        ValueError: the bytes are no suspension.
    """
    tenant_id, view_id, sequence = json.loads(data)
    return Suspension(TenantId(tenant_id), None if view_id is None else ViewId(view_id), int(sequence))


def unreached_key(tenant_id: TenantId) -> bytes:
    """Where it is kept how many parked events of a tenant have reached no view."""
    return UNREACHED + escape_part(tenant_id).encode()


def encode_unrecorded(one: Unrecorded) -> bytes:
    """As JSON; the digest is a number of any size and travels as a text."""
    return json.dumps([one.events, str(one.digest)]).encode()


def decode_unrecorded(data: bytes | None) -> Unrecorded:
    """The inverse of `encode_unrecorded`; of nothing, nothing.

    Raises:
        ValueError: the bytes are something else.
    """
    if data is None:
        return Unrecorded()
    events, digest = json.loads(data)
    return Unrecorded(int(events), int(digest))
