"""A program or a manifest as it is, or as a commit of git has it: `projections/fines` or `HEAD~1:projections/fines`."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from projection.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def version(text: str) -> Iterator[Path]:
    """The path that is meant, for as long as the context lasts: out of git, files are put aside for that long.

    `REF:PATH` is what git makes of it: the path starts from the top of the repository, or, as `REF:./PATH`, from the
    current folder. Of a manifest, the programs are those of the same commit.

    Raises:
        ConfigurationError: there is no such path, or git does not know it.
    """
    ref, colon, inside = text.partition(":")
    if not colon or Path(text).exists():
        if not Path(text).exists():
            raise ConfigurationError(
                f"there is no {text!r}", hint="name a program, a manifest, a folder, or one in git as `HEAD~1:PATH`"
            )
        yield Path(text)
        return
    path = PurePosixPath(inside)
    with tempfile.TemporaryDirectory() as folder:
        if _git(text, "cat-file", "-t", _object(text, text)).strip() == b"tree":
            target = Path(folder, path.name or "projections")
            target.mkdir()
            _extract(text, text, target)
        elif path.suffix == ".proj":
            target = Path(folder, path.name)
            target.write_bytes(_git(text, "cat-file", "blob", _object(text, text)))
        else:
            target = Path(folder, path.name)
            parent = "" if path.parent == PurePosixPath() and not inside.startswith("./") else f"{path.parent}/"
            _extract(text, f"{ref}:{parent}", Path(folder))
        yield target


def _object(text: str, revision: str) -> str:
    return _git(text, "rev-parse", "--verify", "--end-of-options", revision).decode().strip()


def _extract(text: str, revision: str, folder: Path) -> None:
    top = _git(text, "rev-parse", "--show-toplevel").decode().strip()
    tree = _git(text, "-C", top, "archive", "--format=tar", _object(text, revision))
    with tarfile.open(fileobj=io.BytesIO(tree)) as archive:
        archive.extractall(folder, filter="data")


def _git(text: str, *arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", *arguments], check=False, capture_output=True)  # noqa: S607 - the user's own git
    except FileNotFoundError:
        raise ConfigurationError(f"{text!r} is not a path, and git, which may know it, is not installed") from None
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().splitlines()
        raise ConfigurationError(
            f"{text!r} is not a path, and git does not know it{': ' + why[0] if why else ''}",
            hint="in git, a path starts from the top of the repository; `REF:./PATH` starts from here",
        )
    return done.stdout
