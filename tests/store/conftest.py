"""A place for a store, and other processes that use it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from store_processes import Start, starter


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a lane's store is to be; nothing is there yet."""
    return tmp_path / "orders" / "1" / "0"


@pytest.fixture
def start(path: Path) -> Iterator[Start]:
    """Start `lane_child.py` with a command on the test's path; it is gone when the test ends."""
    with starter(path) as start:
        yield start
