"""What a restore that did not come to its end has left in a data folder: nobody takes it for a whole one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.errors import StorageError
from projection.model.files import is_there

if TYPE_CHECKING:
    from pathlib import Path

CATALOG = "catalog"  # the catalog, in a data folder; of what is restored it comes last
RESTORING = "restore.partial"  # what is being restored; with a dot in it no view type's directory has this name


def is_half_restored(data: Path) -> bool:
    """Whether a restore into this folder did not come to its end."""
    return is_there(data / RESTORING) and not is_there(data / CATALOG)


def require_restored(data: Path) -> None:
    """Make sure that no restore into this folder broke off.

    Raises:
        StorageError: one did.
    """
    if is_half_restored(data):
        raise StorageError(
            f"the restore into {data} did not come to its end", hint="run the same `projection restore` again"
        )
