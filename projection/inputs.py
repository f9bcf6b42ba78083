"""Opening the files that people name: a pipe that nobody writes to is no reason to wait for ever."""

from __future__ import annotations

import io
import os
import stat
from errno import ENXIO
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from pathlib import Path

_SOME = 65_536  # bytes


def open_input(path: Path) -> BinaryIO:
    """Open a file for reading; also a pipe, such as that of a process substitution, if somebody writes to it.

    Raises:
        OSError: it cannot be opened, or is a pipe without a writer: opening it the usual way would wait for one.
    """
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        is_pipe = stat.S_ISFIFO(os.fstat(number).st_mode)
        first = _first(number) if is_pipe else b""
        os.set_blocking(number, True)
        if not first:
            return os.fdopen(number, "rb")
    except BaseException:
        os.close(number)
        raise
    return cast("BinaryIO", io.BufferedReader(_Begun(number, first)))


def read_input(path: Path) -> bytes:
    """Read a whole file; it raises what `open_input` raises."""
    with open_input(path) as file:
        return file.read()


def _first(pipe: int) -> bytes:
    """What is in a pipe already; nothing where somebody is still to write it."""
    try:
        if found := os.read(pipe, _SOME):
            return found
    except BlockingIOError:
        return b""
    raise OSError(ENXIO, "it is a pipe that nobody writes to")


class _Begun(io.FileIO):
    """A pipe of which something was read already."""

    def __init__(self, pipe: int, first: bytes) -> None:
        super().__init__(pipe, "rb")
        self._first = first

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]  # a buffer of any kind
        if not self._first:
            return cast("int", super().readinto(buffer))
        count = min(len(buffer), len(self._first))
        memoryview(buffer)[:count] = self._first[:count]
        self._first = self._first[count:]
        return count

    def readall(self) -> bytes:
        first, self._first = self._first, b""
        return first + (super().readall() or b"")
