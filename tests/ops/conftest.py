"""A node that is asked, with some views; each test has its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from ops_support import SOME_IDS, fine, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ops_support import Served

    from projection.stream.embedded import EmbeddedServer


@pytest.fixture
async def one(nats_server: EmbeddedServer, stream_name: str, tmp_path: Path) -> AsyncIterator[Served]:
    """With views of tenant `t`, the n-th with the number n."""
    events = [fine(view_id, n) for n, view_id in enumerate(SOME_IDS)]
    async with served(nats_server.url, stream_name, tmp_path, events) as running:
        yield running
