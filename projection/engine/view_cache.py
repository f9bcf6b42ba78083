"""The views of a lane that are at hand, decoded: within and across batches, for the lane is their only writer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from projection.model.state_digest import entry_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from projection.model.ids import TenantId

    Target = tuple[TenantId, str]  # whose view, and its id
    ChangesOf = Callable[[bytes, Any, Any], Mapping[bytes, bytes | None]]  # of a view's key, as it was and as it is

CACHED_VIEWS = 100_000
CACHED_BYTES = 64 * 1024 * 1024  # of their JSON, by default


class CachedView:
    """A view as the lane knows it: newer than the store's when `changed`."""

    __slots__ = ("before", "changed", "data", "digest", "encoded_key", "size", "view")

    def __init__(self, encoded_key: bytes, view: Any, data: bytes | None) -> None:
        self.encoded_key = encoded_key
        self.view = view  # None where there is none
        self.before: Any = None  # the view that is stored, while `changed`
        self.data: bytes | None = None  # its JSON, where that was made before the commit asks for it
        self.size = 0 if data is None else len(data)  # of its JSON, in bytes, as far as that was made
        self.digest = 0 if data is None else entry_digest(encoded_key, data)  # what it adds to that of the store
        self.changed = False


class SealedViews(NamedTuple):
    """What changed since the last commit."""

    views: dict[bytes, bytes | None]  # JSON by encoded key; None for one that is gone
    entries: dict[bytes, bytes | None]  # of indexes; None for one that is gone
    gained: int  # by the state digest


class ViewCache:
    """Views by tenant and id. What a lane has changed stays until it is committed; the rest is bounded."""

    def __init__(self, max_bytes: int = CACHED_BYTES) -> None:
        self._max_bytes = max_bytes
        self._views: dict[Target, CachedView] = {}
        self._changed: list[CachedView] = []
        self.bytes = 0  # of the JSON of these views
        self.asked = 0  # views that events went to
        self.loaded = 0  # those of them that were not at hand
        self.weight = 0  # bytes of JSON that were read or changed since the last commit
        self.get = self._views.get

    def put(self, target: Target, encoded_key: bytes, view: Any, data: bytes | None) -> CachedView:
        """Keep a view as the store has it; `data` is its JSON, None where there is no such view."""
        self.loaded += 1
        cached = self._views[target] = CachedView(encoded_key, view, data)
        self.bytes += cached.size
        self.weight += cached.size
        return cached

    def change(self, cached: CachedView, view: Any, data: bytes | None) -> None:
        """A view is another one now; `data` is its JSON where that was made anyway."""
        if not cached.changed:
            cached.changed, cached.before = True, cached.view
            self._changed.append(cached)
        cached.view, cached.data = view, data
        if data is not None:
            self.bytes += len(data) - cached.size
            self.weight += len(data)
            cached.size = len(data)

    @property
    def has_changes(self) -> bool:
        """Whether some view is another one than at the last commit."""
        return bool(self._changed)

    def seal(self, encode: Callable[[Any], bytes], changes_of: ChangesOf | None) -> SealedViews:
        """What has changed since the last time.

        Args:
            encode: gives a view's JSON.
            changes_of: gives what a changed view changes of its index entries; None where there are no indexes.
        """
        views: dict[bytes, bytes | None] = {}
        entries: dict[bytes, bytes | None] = {}
        gained = 0
        for cached in self._changed:
            data = digest = None
            if cached.view is not None:
                data = cached.data or encode(cached.view)
                digest = entry_digest(cached.encoded_key, data)
            views[cached.encoded_key] = data
            if changes_of is not None:
                entries.update(changes_of(cached.encoded_key, cached.before, cached.view))
            gained += (digest or 0) - cached.digest
            size = len(data or b"")
            self.bytes += size - cached.size
            cached.size, cached.digest = size, digest or 0
            cached.changed, cached.data, cached.before = False, None, None
        self._changed, self.weight = [], 0
        return SealedViews(views, entries, gained)

    def trim(self) -> None:
        """What was sealed is stored: forget the oldest views beyond the bounds."""
        if len(self._views) <= CACHED_VIEWS and self.bytes <= self._max_bytes:
            return
        for target, cached in list(self._views.items()):
            if not cached.changed:
                del self._views[target]
                self.bytes -= cached.size
                if len(self._views) <= CACHED_VIEWS // 2 and self.bytes <= self._max_bytes // 2:
                    break
