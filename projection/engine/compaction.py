"""Giving the free pages of builds' stores back to the disk, beside a node that may be writing them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from projection.engine.outcomes import CompactCame
from projection.errors import StorageDamagedError
from projection.model.files import is_file
from projection.store.audit import BY_PROGRAM, AuditRecord
from projection.store.compacting import Compacted, compact_store, taken
from projection.store.lmdb_folder import DATA

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.model.ids import ViewType
    from projection.store.audit import Author
    from projection.store.build import Build
    from projection.store.catalog import Catalog
    from projection.store.catalog_reading import CatalogReading


class CompactedBuild(NamedTuple):
    """What became of the store of a build."""

    build: Build
    bytes: Compacted
    problem: str | None = None  # why nothing was given back


def compact_builds(
    catalog: CatalogReading, view_type: ViewType | None, on_progress: Callable[[int, int], None]
) -> list[CompactedBuild]:
    """Compact the builds of a view type, or of all, one after the other; a damaged store is passed over.

    Args:
        catalog: of the data folder. This process must not have the builds' stores open.
        view_type: whose; None for all.
        on_progress: see `compact_store`; of all builds together, as far as that is known.

    Raises:
        ConfigurationError: there is no such view type.
        StorageError: a store or the catalog cannot be used, or the file system takes nothing out of files.
    """
    builds = catalog.all_builds() if view_type is None else catalog.builds(catalog.require(view_type).view_type)
    found, seen, latest = [], 0, 0

    def tell(done: int, total: int) -> None:
        nonlocal latest
        latest = done
        on_progress(seen + done, seen + total)

    for build in builds:
        path, latest = build.lane_path(), 0
        if not is_file(path / DATA):
            continue
        try:
            found.append(CompactedBuild(build, compact_store(path, tell)))
        except StorageDamagedError as error:
            found.append(CompactedBuild(build, Compacted(*[taken(path / DATA)] * 2), error.message))
        seen += latest
    return found


def compact(
    catalog: Catalog,
    view_type: ViewType | None = None,
    *,
    author: Author = BY_PROGRAM,
    on_progress: Callable[[int, int], None] | None = None,
) -> CompactCame:
    """Return free pages of builds' stores to the file system, in a data folder without a running node.

    Args:
        catalog: of the folder.
        view_type: whose builds; None for all.
        author: who says so.
        on_progress: told how many bytes of free pages have been seen to, and how many are known of.

    Raises:
        ConfigurationError: there is no such view type.
        StorageError: a store or the catalog cannot be used, or the file system takes nothing out of files.
    """
    came = CompactCame.of(compact_builds(catalog, view_type, on_progress or (lambda _done, _total: None)))
    catalog.note(audit_of(view_type, author, came))
    return came


def audit_of(view_type: ViewType | None, author: Author, came: CompactCame) -> AuditRecord:
    """What the audit says of it.

    Args:
        view_type: whose builds; None for all.
        author: who said so.
        came: what came of it.
    """
    details = {"builds": len(came.builds), "given_back": came.given_back}
    return AuditRecord("compact", view_type or "", author, details)
