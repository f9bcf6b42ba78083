"""A node's data folder in the hands of a command."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from projection.store.catalog import Catalog


@contextmanager
def taken(data: Path) -> Iterator[Catalog]:
    """The catalog of a folder that is there, for a command that changes it; no node may have it meanwhile.

    Raises:
        ConfigurationError: there is no such folder.
        StorageError: a node has it, or it cannot be used.
    """
    from projection.store.catalog import Catalog, CatalogReader

    CatalogReader.open(data).close()  # which makes none
    with Catalog.open(data) as catalog:
        yield catalog
