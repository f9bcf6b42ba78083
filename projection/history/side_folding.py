"""Folding a part of a new build in a process beside the node; see `projection.engine.side_work`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from projection.engine.backup_place import connection_of
from projection.engine.side_work import Telling, serve
from projection.history.logs import StreamLog
from projection.history.partial import fold_partly
from projection.model.ids import ViewType
from projection.store.catalog import CatalogReader
from projection.stream.connection import Nats

if TYPE_CHECKING:
    from projection.engine.outcomes import PartFolded


class FoldWork(msgspec.Struct, frozen=True, tag="fold"):
    """Make a new build out of the one that answers, as far as that is proven."""

    data: str
    view_type: str
    build: int
    stream: str
    nats: dict[str, Any]  # how the server is reached: what may be secret in it is never shown

    def do(self) -> PartFolded:
        """Do it, and tell how far it is."""
        return asyncio.run(self._done())

    async def _done(self) -> PartFolded:
        with CatalogReader.open(Path(self.data)) as catalog:
            build = catalog.build(ViewType(self.view_type), self.build)
            async with await Nats.connect(connection_of(self.nats)) as nats:
                return await fold_partly(catalog, build, StreamLog(nats, self.stream, "fold"), Telling().tell)

    def __repr__(self) -> str:
        return f"FoldWork(view_type={self.view_type!r}, build={self.build})"


if __name__ == "__main__":
    serve(FoldWork)
