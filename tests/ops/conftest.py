"""A node that is asked, with some views; each test has its own."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import pytest_asyncio
from console_support import EVENTS, browsing
from ops_support import SOME_IDS, fine, served
from patience import WITHIN_S

from projection.ops.http import front, protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from ops_support import Served

    from projection.stream.embedded import EmbeddedServer

# A client of these tests is no slower than the machine; those about slow clients set their own.
protocol.HEAD_S = protocol.STALL_S = front._BODY_S = WITHIN_S


@pytest.fixture
async def one(nats_server: EmbeddedServer, stream_name: str, tmp_path: Path) -> AsyncIterator[Served]:
    """With views of tenant `t`, the n-th with the number n."""
    events = [fine(view_id, n) for n, view_id in enumerate(SOME_IDS)]
    async with served(nats_server.url, stream_name, tmp_path, events) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser():
    """A headless browser for the tests of a module, which run in the module's loop."""
    async with browsing() as one:
        print(f"the console is looked at in Chromium {one.version}")
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fines(nats_server, tmp_path_factory):
    """A node that tests only look at."""
    async with served(nats_server.url, f"S{uuid4().hex[:12]}", tmp_path_factory.mktemp("fines"), EVENTS) as one:
        yield one
