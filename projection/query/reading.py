"""Views as lines of JSON, out of the stores of a data folder or out of any other reader."""

from __future__ import annotations

import heapq
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from projection.model.keys import ViewKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from projection.model.ids import TenantId, ViewId, ViewType
    from projection.model.parked import ParkedEvent, Suspension
    from projection.store.port import ViewReader


def view_line(key: ViewKey, view: bytes) -> bytes:
    """One view as a line: `{"tenant_id","view_type","view_id","view"}`; the view's own JSON stands in it as stored."""
    head = msgspec.json.encode({name: str(value) for name, value in key._asdict().items()})
    return b'%b,"view":%b}\n' % (head[:-1], view)


def view_lines(readers: Mapping[ViewType, ViewReader], tenant_id: TenantId | None = None) -> Iterator[bytes]:
    """The views of one tenant, or of all, in key order.

    Raises:
        StorageError: a store cannot be read.
    """
    scans = (reader.scan(tenant_id, view_type) for view_type, reader in readers.items())
    for key, view in heapq.merge(*scans, key=lambda found: found[0].encode()):
        yield view_line(key, view)


@contextmanager
def serving_reader(data: Path, view_type: ViewType) -> Iterator[ViewReader]:
    """A reader of the build that serves a view type; the node may be running.

    Raises:
        ConfigurationError: there is no such folder or view type.
        StorageError: the folder cannot be read.
    """
    from projection.store.catalog import CatalogReader  # noqa: PLC0415 - LMDB, which `replay` does without
    from projection.store.lmdb_reader import LmdbViewReader  # noqa: PLC0415

    with CatalogReader.open(data) as catalog:
        build = catalog.require(view_type)
    with LmdbViewReader.open(build.lane_path()) as reader:
        yield reader


def one_view(reader: ViewReader, tenant_id: TenantId, view_type: ViewType, view_id: ViewId) -> bytes | None:
    """The line of one view; None where there is none."""
    key = ViewKey(tenant_id, view_type, view_id)
    view = reader.get_view(key)
    return None if view is None else view_line(key, view)


def suspended_in(data: Path, view_type: ViewType | None = None) -> list[tuple[ViewType, Suspension]]:
    """What is suspended in the builds that answer, each with its view type: of one view type, or of all.

    Raises:
        ConfigurationError: there is no such folder or view type.
        StorageError: the folder cannot be read.
    """
    from projection.store.catalog import CatalogReader  # noqa: PLC0415 - LMDB, which `replay` does without
    from projection.store.lmdb_reader import LmdbViewReader  # noqa: PLC0415

    with CatalogReader.open(data) as catalog:
        builds = [catalog.require(one) for one in (catalog.view_types() if view_type is None else [view_type])]
    found = []
    for build in builds:
        with LmdbViewReader.open(build.lane_path()) as reader:
            found += [(build.view_type, one) for one in reader.suspensions()]
    return found


def parked_events(data: Path, view_type: ViewType | None = None) -> Iterator[ParkedEvent]:
    """The parked and recorded skipped events of the builds that answer: of one view type, or of all in order.

    Raises:
        ConfigurationError: there is no such folder or view type.
        StorageError: the folder cannot be read.
    """
    from projection.store.catalog import CatalogReader  # noqa: PLC0415 - LMDB, which `replay` does without
    from projection.store.lmdb_reader import LmdbViewReader  # noqa: PLC0415

    with CatalogReader.open(data) as catalog:
        builds = [catalog.require(one) for one in (catalog.view_types() if view_type is None else [view_type])]
    for build in builds:
        with LmdbViewReader.open(build.lane_path()) as reader:
            yield from reader.parked()
