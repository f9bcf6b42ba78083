"""Places for a process to write its log to that take nothing."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Unwritable(StrEnum):
    """Why nothing can be written."""

    FULL_DEVICE = "its device is full"
    PIPE_WITHOUT_READER = "whoever read the pipe has gone"
    FULL_PIPE = "nobody empties the pipe"

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor for such a place; the place stays as it is until the end of the context."""
        if self is Unwritable.FULL_DEVICE:
            number = os.open("/dev/full", os.O_WRONLY)
            yield number
            os.close(number)
            return
        reading, writing = os.pipe()
        if self is Unwritable.PIPE_WITHOUT_READER:
            os.close(reading)
            yield writing
            os.close(writing)
            return
        _fill(writing)
        yield writing
        os.close(reading)
        os.close(writing)


def _fill(pipe: int) -> None:
    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4_096)
    os.set_blocking(pipe, False)
    with suppress(BlockingIOError):
        while True:
            os.write(pipe, b"x" * 512)
    os.set_blocking(pipe, True)
