"""A feed that is held back: a node has folded the first batch of the log, and no more, for as long as a test wants."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from projection.stream.feed import JetStreamFeed

if TYPE_CHECKING:
    import pytest


class HeldFeed:
    """Holds back every feed from its second batch on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.first = 0  # messages of the first batch; 0 until it was read
        self._may_go_on = asyncio.Event()
        next_batch = JetStreamFeed.next_batch

        async def held(feed):
            if self.first:
                await self._may_go_on.wait()
            batch = await next_batch(feed)
            if batch is not None and not self.first:
                self.first = len(batch.messages)
            return batch

        monkeypatch.setattr(JetStreamFeed, "next_batch", held)

    def go_on(self) -> None:
        self._may_go_on.set()
