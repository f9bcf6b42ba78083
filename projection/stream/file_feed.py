"""Events from files, an envelope or a recorded message a line: what `load` publishes and `replay` folds."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, NamedTuple

from projection.errors import ConfigurationError
from projection.inputs import open_input
from projection.model.envelope import MAX_ENVELOPE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A recorded message may hold a body as large as an event, in base64, beside its subject and its headers.
MAX_LINE_BYTES = MAX_ENVELOPE_BYTES * 4 // 3 + 1024 * 1024


_ENDINGS = (".jsonl", ".jsonl.gz")


class Line(NamedTuple):
    """A line of a file, or of a folder's files as if they were one."""

    number: int  # from 1; in a folder, behind the last event of the file before
    data: bytes
    place: str  # its file and its number there


def event_files(path: Path) -> list[Path]:
    """The files of events at a path: the file itself, or a folder's `.jsonl` and `.jsonl.gz` files by their names.

    Raises:
        ConfigurationError: the folder holds none, or cannot be read.
    """
    if not path.is_dir():
        return [path]
    try:
        found = sorted((one for one in path.iterdir() if one.name.endswith(_ENDINGS)), key=lambda one: one.name)
    except OSError as error:
        raise ConfigurationError(f"folder {str(path)!r} cannot be read: {error.strerror}") from None
    if not found:
        raise ConfigurationError(f"folder {str(path)!r} holds no file of events: none that ends in .jsonl or .jsonl.gz")
    return found


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a file, or of the files of a folder, one file behind the other; blank lines are left out.

    Raises:
        ConfigurationError: as of `read_events` and `event_files`.
    """
    before = 0
    for file in event_files(path):
        number = 0
        for number, data in read_events(file):
            yield Line(before + number, data, f"line {number} of {str(file)!r}")
        before += number


def read_events(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a `.jsonl` or `.jsonl.gz` file with their numbers, from 1; blank lines are left out.

    Raises:
        ConfigurationError: the file is not there, cannot be read or unpacked, or has a line longer than
            `MAX_LINE_BYTES`; names the line.
    """
    number = 0
    try:
        with open_input(path) as plain, gzip.open(plain) if path.suffix == ".gz" else plain as file:
            while line := file.readline(MAX_LINE_BYTES + 2):  # and its end, as \r\n
                number += 1
                if not (event := line.strip()):
                    continue
                if len(event) > MAX_LINE_BYTES:
                    raise ConfigurationError(
                        f"line {number} of {str(path)!r} has more than {MAX_LINE_BYTES} bytes; a line of events may not"
                    )
                yield number, event
    except FileNotFoundError:
        raise ConfigurationError(f"there is no file {str(path)!r}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ConfigurationError(f"{str(path)!r} is not whole gzip data: {error}, after line {number}") from None
    except OSError as error:
        raise ConfigurationError(f"{str(path)!r} cannot be read after line {number}: {error.strerror}") from None
