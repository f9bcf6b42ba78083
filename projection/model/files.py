"""Whether something is at a path: asked so that a system which refuses to say is heard.

From Python 3.14 on, `Path.exists` and its like answer False where a disk fails, a folder may not be read, or a name is
too long. A store that cannot be seen is not one that is gone.
"""

from __future__ import annotations

import errno
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


def is_file(path: Path) -> bool:
    """Tell whether a file is there, or a link to one.

    Raises:
        OSError: the system does not say.
    """
    return stat.S_ISREG(_mode(path))


def is_folder(path: Path) -> bool:
    """Tell whether a folder is there, or a link to one; it raises what `is_file` raises."""
    return stat.S_ISDIR(_mode(path))


def is_there(path: Path) -> bool:
    """Tell whether anything is there; it raises what `is_file` raises."""
    return _mode(path) != 0


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError as error:
        if error.errno in _ABSENT:
            return 0
        raise
