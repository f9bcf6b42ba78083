"""Events from a file, an envelope or a recorded message a line: what `load` publishes and `replay` folds."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING

from projection.errors import ConfigurationError
from projection.inputs import open_input
from projection.model.envelope import MAX_ENVELOPE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A recorded message may hold a body as large as an event, in base64, beside its subject and its headers.
MAX_LINE_BYTES = MAX_ENVELOPE_BYTES * 4 // 3 + 1024 * 1024


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
