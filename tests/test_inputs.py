"""The files that people name: a pipe nobody writes to holds up no one, and one that somebody writes to is read whole."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from projection.errors import ConfigurationError
from projection.inputs import open_input, read_input
from projection.lang.program import Program
from projection.model.documents import read_document
from projection.model.manifest import Manifest
from projection.stream.file_feed import read_events


@pytest.fixture
def fifo(tmp_path):
    path = tmp_path / "pipe.yaml"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize(
    "read",
    [
        read_input,
        read_document,
        Manifest.load,
        Program.load,
        lambda path: list(read_events(path)),
        lambda path: list(read_events(path.with_suffix(".gz"))),
    ],
)
def test_a_pipe_that_nobody_writes_to_is_refused_at_once(fifo, read):
    os.link(fifo, fifo.with_suffix(".gz"))
    with pytest.raises((OSError, ConfigurationError), match="it is a pipe that nobody writes to"):
        read(fifo)


@pytest.mark.parametrize("size", [1, 65_536, 65_537, 1_000_000])
@pytest.mark.parametrize("is_named", [True, False])
def test_a_pipe_that_somebody_writes_to_is_read_whole(fifo, size, is_named):
    data = os.urandom(size)
    reading, writing = (os.open(fifo, os.O_RDWR), None) if is_named else os.pipe()
    writing = os.open(fifo, os.O_WRONLY) if is_named else writing

    def write() -> None:
        left = data
        while left:
            left = left[os.write(writing, left) :]
        os.close(writing)

    writer = threading.Thread(target=write)
    writer.start()
    path = fifo if is_named else Path(f"/dev/fd/{reading}")
    if not is_named:
        found = read_input(path)
        os.close(reading)
    else:
        with open_input(path) as file:
            os.close(reading)
            found = b"".join(file)
    writer.join()
    assert data == found


def test_a_pipe_is_read_line_by_line(fifo):
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with fifo.open("wb") as writing:
        writing.write(b"{}\n[]\n")
        writing.flush()
        with suppress(BlockingIOError), open_input(fifo) as file:
            os.close(reader)
            assert [b"{}\n", b"[]\n"] == [file.readline(), file.readline()]


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(IsADirectoryError):
        read_input(tmp_path)
