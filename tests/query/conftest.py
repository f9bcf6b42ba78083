"""A site of one's own, with views of all tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from query_support import Site, filled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    filled(site, seed=7)
    yield site
    site.close()
