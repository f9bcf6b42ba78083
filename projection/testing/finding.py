"""Where a projection is that a test names: by its view type, its program's name, its folder or its path."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from projection.errors import ConfigurationError
from projection.inputs import read_input
from projection.model.documents import SUFFIXES
from projection.model.ids import ViewType
from projection.model.manifest import FIRST, Limits, Manifest, ManifestView, Policy
from projection.model.problems import did_you_mean
from projection.model.subjects import DEFAULT_TEMPLATE, SubjectTemplate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_NAME = re.compile(r"^projection[ \t]+(\w+)", re.MULTILINE | re.ASCII)


class Found(NamedTuple):
    """What a name stands for: a program, a manifest or a folder, and the view type of a manifest that is meant."""

    path: Path
    view_type: str | None = None


def find(name: str, folders: Sequence[Path]) -> Found:
    """What is meant by a name in the first of these folders that knows it.

    Raises:
        ConfigurationError: none of them does, or one knows several of that name.
    """
    __tracebackhide__ = True  # a traceback of pytest ends where the test asks
    known: set[str] = set()
    for folder in folders:
        path = folder / name
        if path.is_file() or ("/" in name and path.exists()):  # a folder that only has the name may hold anything
            return Found(path)
        names = names_below(folder)
        found = names.get(name, [])
        if len(found) > 1:
            shown = ", ".join(str(one.path) for one in found)
            raise ConfigurationError(f"projection {name!r} is found more than once: {shown}", hint="give a path")
        if found:
            return found[0]
        known |= names.keys()
    searched = ", ".join(map(str, dict.fromkeys(folders)))
    raise ConfigurationError(f"there is no projection {name!r} in {searched}", hint=did_you_mean(name, known))


def names_below(folder: Path) -> dict[str, list[Found]]:
    """What can be named in a folder; a view type of a manifest comes before a program's name, and that before a folder.

    A manifest that is wrong is passed over: whoever names its folder is told.
    """
    of_manifests: dict[str, list[Found]] = {}
    of_programs: dict[str, list[Found]] = {}
    of_folders: dict[str, list[Found]] = {}
    deployed: set[Path] = set()
    programs: list[Path] = []
    for path in files_below(folder):
        if path.suffix == ".proj":
            programs.append(path)
        elif path.stem != "manifest" or path.suffix not in SUFFIXES:
            continue
        else:
            for view in _views(path):
                found = Found(path, view.view_type)
                of_manifests.setdefault(str(view.view_type), []).append(found)
                of_programs.setdefault(program_name(view.program), []).append(found)
                deployed.add(view.program)
        if (found := Found(path.parent)) not in (named := of_folders.setdefault(path.parent.resolve().name, [])):
            named.append(found)
    for path in programs:
        if path.resolve() not in deployed:
            of_programs.setdefault(program_name(path), []).append(Found(path))
    return of_folders | of_programs | of_manifests


def files_below(folder: Path) -> Iterator[Path]:
    """The files of a folder and those below it, in order, but for hidden folders and those of installed packages."""
    for parent, folders, files in os.walk(folder):
        here = Path(parent)
        folders[:] = sorted(one for one in folders if not _is_foreign(here / one))
        yield from (here / file for file in sorted(files))


def _is_foreign(folder: Path) -> bool:
    """Whether nobody keeps projections of their own in such a folder."""
    is_installed = folder.name in ("node_modules", "__pycache__") or (folder / "pyvenv.cfg").exists()
    return folder.name.startswith(".") or is_installed


def program_name(path: Path) -> str:
    """The name that a program gives itself, without a look at the rest of it; the file's where it gives none."""
    try:
        found = _NAME.search(read_input(path).decode(errors="replace"))
    except OSError:
        found = None
    name = found[1] if found else path.stem
    return name if ViewType.problem(name) is None else "program"


def _views(manifest: Path) -> Iterable[ManifestView]:
    try:
        return Manifest.load(manifest).views
    except ConfigurationError:
        return ()


# --- what a path stands for ------------------------------------------------------------------------------------------


def manifest_of(path: Path) -> Manifest:
    """The manifest at a path, that of a folder, or one with the defaults for programs that have none.

    Raises:
        ConfigurationError: there is nothing of the kind, or the manifest is wrong.
    """
    if path.suffix == ".proj":
        return _undeployed([path])
    if not path.exists() and path.suffix not in SUFFIXES:
        raise ConfigurationError(f"there is no {str(path)!r}", hint="name a program (.proj), a manifest, or a folder")
    if not path.is_dir():
        return Manifest.load(path)
    for suffix in SUFFIXES:
        if (found := path / f"manifest{suffix}").is_file():
            return Manifest.load(found)
    programs = sorted(path.glob("*.proj"))
    if not programs:
        raise ConfigurationError(f"{path}/ holds no manifest and no program", hint="name a folder that does")
    return _undeployed(programs)


def _undeployed(programs: Sequence[Path]) -> Manifest:
    template = SubjectTemplate.parse(DEFAULT_TEMPLATE)
    views = tuple(
        ManifestView(
            view_type=ViewType(program_name(path)),
            program=path.resolve(),
            subject_template=template,
            subjects=(template.filter(),),
            start=FIRST,
            on_error=Policy.PARK,
            limits=Limits(),
        )
        for path in programs
    )
    return Manifest(path=programs[0].parent / "manifest.yaml", subject_template=template, views=views)
