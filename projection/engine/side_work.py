"""What a node has another process do: much work on its stores, for which its event loop shall not wait.

Run as `python -m` with the module of the work: this one, or one of a layer above. A line of JSON on stdin says what is
to be done; lines of JSON on stdout say how far it is, and the last one what came of it. When stdin ends, the node has
gone, and so does this process.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any

import msgspec

from projection.engine.backup import back_up
from projection.engine.backup_place import Place  # noqa: TC001 - a field's type
from projection.engine.compaction import compact_builds
from projection.engine.outcomes import BackupCame, CompactCame, PartFolded, VerifiedBuild, VerifyCame
from projection.engine.verification import verify
from projection.errors import (
    ConfigurationError,
    ErrorClass,
    ProductFaultError,
    ProjectionError,
    StorageDamagedError,
    StorageError,
)
from projection.faults import contained
from projection.model.ids import ViewType
from projection.store.catalog import CatalogReader

_TOLD_EVERY_S = 0.2
_NICENESS = 10  # the node comes first


class BackupWork(msgspec.Struct, frozen=True, tag="backup"):
    """Back a data folder up."""

    data: str
    place: Place
    keep: int | None

    def do(self) -> BackupCame:
        """Write the backup, and tell how far it is."""
        telling = Telling()
        with CatalogReader.open(Path(self.data)) as catalog, self.place.opened() as backups:
            made = back_up(catalog, backups, keep=self.keep, on_progress=lambda now: telling.tell(now.bytes, now.of))
        return BackupCame.of(made)


class VerifyWork(msgspec.Struct, frozen=True, tag="verify"):
    """Go through the builds that answer."""

    data: str
    view_types: list[str] | None

    def do(self) -> VerifyCame:
        """Go through them, and tell how far that is."""
        wanted = None if self.view_types is None else [ViewType(one) for one in self.view_types]
        return VerifyCame([VerifiedBuild.of(one) for one in verify(Path(self.data), wanted, Telling().tell)])


class CompactWork(msgspec.Struct, frozen=True, tag="compact"):
    """Give free pages of builds' stores back to the disk."""

    data: str
    view_type: str | None

    def do(self) -> CompactCame:
        """Do it, and tell how far it is."""
        view_type = None if self.view_type is None else ViewType(self.view_type)
        with CatalogReader.open(Path(self.data)) as catalog:
            return CompactCame.of(compact_builds(catalog, view_type, Telling().tell))


Work = BackupWork | VerifyWork | CompactWork


class Refusal(msgspec.Struct, frozen=True):
    """Why it could not be done."""

    error_class: ErrorClass
    code: str
    message: str
    hint: str | None

    @classmethod
    def of(cls, error: ProjectionError) -> Refusal:
        """The same as what was raised."""
        return cls(error.error_class, error.code, error.message, error.hint)

    def error(self) -> ProjectionError:
        """The same to be raised here."""
        if self.code == StorageDamagedError.default_code:
            return StorageDamagedError(self.message, hint=self.hint)
        kind = {ErrorClass.CONFIGURATION: ConfigurationError, ErrorClass.INFRASTRUCTURE: StorageError}
        return kind.get(self.error_class, ProductFaultError)(self.message, hint=self.hint, code=self.code)


class WorkProgress(msgspec.Struct, frozen=True):
    """How far the work is: backups and compactions in bytes, a verification in entries of stores."""

    done: int
    of: int  # about


class Said(msgspec.Struct, frozen=True):
    """One line of the answer."""

    progress: WorkProgress | None = None
    made: BackupCame | None = None
    verified: VerifyCame | None = None
    compacted: CompactCame | None = None
    folded: PartFolded | None = None
    refused: Refusal | None = None


_FIELDS: dict[type, str] = {BackupCame: "made", VerifyCame: "verified", CompactCame: "compacted", PartFolded: "folded"}


class Telling:
    """Tells how far the work is: at once, and then every now and then."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self._told: float | None = None

    def tell(self, done: int, of: int) -> None:
        """Tell it, unless that was done just now."""
        now = monotonic()
        if self._told is None or now - self._told >= _TOLD_EVERY_S or done == of:
            self._told = now
            _say(Said(progress=WorkProgress(done, of)))


def _say(said: Said) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(said) + b"\n")
    sys.stdout.buffer.flush()


def _end_with_the_node() -> None:
    while sys.stdin.buffer.read(1):
        pass
    os._exit(1)


def serve(kinds: Any) -> None:
    """Do what stdin says, which is one of these kinds of work."""
    work = msgspec.json.decode(sys.stdin.buffer.readline(), type=kinds)
    Thread(target=_end_with_the_node, daemon=True).start()
    with suppress(OSError):
        os.nice(_NICENESS)
    try:
        came = work.do()
        said = Said(**{_FIELDS[type(came)]: came})
    except ProjectionError as error:
        said = Said(refused=Refusal.of(error))
    except Exception as error:  # noqa: BLE001 - the node tells it
        said = Said(refused=Refusal.of(contained(error, f"the work of a process beside the node ({work})")))
    _say(said)
    os._exit(0)  # a thread still waits for stdin


if __name__ == "__main__":
    serve(Work)
