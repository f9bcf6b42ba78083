"""Keys of the store, composed and parsed in this one place.

A key is readable and unambiguous: `view:{tenant}:{view_type}:{view_id}` and `checkpoint:{tenant}:{view_type}`. Every
part is percent-escaped for `:`, `%` and control characters, so no tenant, however named, can reach another's keys.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple, Self

from projection.model.escaping import escape_part, unescape_part
from projection.model.ids import TenantId, ViewId, ViewType

MAX_KEY_BYTES = 511  # LMDB's compiled-in limit
VIEWS = b"view:"  # what the keys of all views begin with, and no others


def _parts(text: str, kind: str, count: int) -> list[str]:
    found = text.split(":")
    if found[0] != kind or len(found) != count + 1:
        raise ValueError(f"{text!r} is not a {kind} key")
    return [unescape_part(part) for part in found[1:]]


@lru_cache(maxsize=4096)  # a batch has thousands of views and few tenants: 0.8 µs instead of 1.8 a key
def _view_prefix(tenant_id: TenantId, view_type: ViewType) -> str:
    return f"view:{escape_part(tenant_id)}:{view_type}:"


class ViewKey(NamedTuple):
    """Where a view lives."""

    tenant_id: TenantId
    view_type: ViewType
    view_id: ViewId

    def __str__(self) -> str:
        return _view_prefix(self.tenant_id, self.view_type) + escape_part(self.view_id)

    def encode(self) -> bytes:
        """The key's bytes, at most `MAX_KEY_BYTES` where the engine has admitted it."""
        return str(self).encode()

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key that this text is; the inverse of `str`.

        Raises:
            ValueError: it is not a view key.
        """
        tenant, view_type, view_id = _parts(text, "view", 3)
        return cls(TenantId(tenant), ViewType(view_type), ViewId(view_id))

    @staticmethod
    def prefix(tenant_id: TenantId, view_type: ViewType) -> bytes:
        """What the keys of all views of one tenant and view type begin with, and no others."""
        return _view_prefix(tenant_id, view_type).encode()


def encoded_view_key(tenant_id: TenantId, view_type: ViewType, view_id: str) -> bytes:
    """What `ViewKey(…).encode()` gives, for a view id that a program computed: 0.5 µs instead of 1.5."""
    return (_view_prefix(tenant_id, view_type) + escape_part(view_id)).encode()


class CheckpointKey(NamedTuple):
    """Where a tenant's progress in a view type is kept."""

    tenant_id: TenantId
    view_type: ViewType

    def __str__(self) -> str:
        return f"checkpoint:{escape_part(self.tenant_id)}:{self.view_type}"

    def encode(self) -> bytes:
        """The key's bytes; never longer than LMDB takes, by the limits on tenants and view types."""
        return str(self).encode()

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key that this text is; the inverse of `str`.

        Raises:
            ValueError: it is not a checkpoint key.
        """
        tenant, view_type = _parts(text, "checkpoint", 2)
        return cls(TenantId(tenant), ViewType(view_type))
