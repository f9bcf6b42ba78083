"""What `projection check --against` says: which view types would fold anew, and which changes break others."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from msgspec import structs

from projection.cli.checking import Report, named_programs
from projection.cli.findings import Finding, in_line, in_source, shown_path
from projection.cli.versions import version
from projection.errors import ConfigurationError
from projection.inputs import read_input

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from projection.lang.check.checker import CheckedProgram
    from projection.lang.compatibility import Change
    from projection.lang.reach import Reach
    from projection.lang.reporting import Diagnostic
    from projection.model.manifest import ManifestView


@dataclass(frozen=True, slots=True)
class Fold:
    """Whether a view type would be folded anew, and why; or why not, though something changed."""

    view_type: str
    is_new: bool
    reasons: tuple[str, ...]
    reach: Reach | None = None  # where only the program is different

    def __str__(self) -> str:
        told = [*self.reasons]
        if self.reach is not None and self.reach.is_narrow:
            told.append(self.reach.in_words)
        return f"{self.view_type}: {'folds anew' if self.is_new else 'no new fold'}: {'; '.join(told)}"


@dataclass(frozen=True, slots=True)
class ShownChange:
    """A change with its finding: an error or a warning where it is breaking, else a note."""

    finding: Finding
    side: str
    path: str
    old: str = ""
    new: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """What became of a former version."""

    against: str
    folds: tuple[Fold, ...]
    changes: tuple[ShownChange, ...]

    @property
    def breaking(self) -> int:
        """How many changes break somebody."""
        return sum(one.finding.severity != "note" for one in self.changes)

    def summary(self) -> str:
        """All of it in a line."""
        anew = sum(one.is_new for one in self.folds)
        breaking, compatible = self.breaking, len(self.changes) - self.breaking
        return (
            f"against {self.against}: {anew} of {len(self.folds)} view types would fold anew; "
            f"{breaking} breaking change{'' if breaking == 1 else 's'}, {compatible} compatible"
        )


class _Deployed(NamedTuple):
    """A view type of one side."""

    place: str  # its folder, seen from the path that was named
    view_type: str
    entry: ManifestView
    is_of_manifest: bool
    program: CheckedProgram


def compared(paths: Sequence[Path], against: str, *, breaking_fails: bool) -> Compared:
    """Compare what is below some paths with a former version of it.

    Args:
        paths: programs, manifests and folders, as they are now.
        against: a program, a manifest or a folder; one in git as `REF:PATH`; or a ref of git, for the same paths there.
        breaking_fails: whether breaking changes are errors, not warnings.

    Raises:
        ConfigurationError: there is no such version, or it does not check.
    """
    with ExitStack() as stack:
        before = [stack.enter_context(version(one)) for one in _versions(paths, against)]
        old = [one for path in before for one in _deployed(path, against)]
    unchecked: list[str] = []
    new = [one for path in paths for one in _deployed(path, None, unchecked)]
    pairs, missing, added = _paired(old, new)
    is_alone = len(missing) == len(unchecked) == 1  # then it is the same, whatever it is called
    gone = [] if is_alone else [side for side in missing if side.view_type not in unchecked]
    folds: list[Fold] = []
    changes: dict[Finding, ShownChange] = {}  # each once: two view types may have one program
    for was, now in pairs:
        folds.append(_fold(was, now))
        for one in (*_of_program(was, now), *_of_manifest(was, now)):
            changes.setdefault(one.finding, one)
    folds += [Fold(side.view_type, is_new=True, reasons=("it is new",)) for side in added]
    folds += [Fold(side.view_type, is_new=False, reasons=("it is gone",)) for side in gone]
    folds += [
        Fold(side.view_type, is_new=False, reasons=("it is not compared, because it has errors",))
        for side in missing
        if side not in gone
    ]
    for side in gone:
        lost = _at_top(paths[0], f"this breaks readers: there is no view type {side.view_type} any more")
        changes.setdefault(lost, ShownChange(lost, "readers", f"view type {side.view_type}"))
    shown = list(changes.values())
    if breaking_fails:
        shown = [
            one
            if one.finding.severity == "note"
            else replace(one, finding=structs.replace(one.finding, severity="error"))
            for one in shown
        ]
    shown.sort(key=lambda one: (one.finding.place, one.finding.severity == "note"))
    return Compared(against, tuple(sorted(folds, key=lambda one: one.view_type)), tuple(shown))


def _versions(paths: Sequence[Path], against: str) -> Iterator[str]:
    """What `version` is asked for: the former version of each path."""
    if Path(against).exists() or ":" in against:
        if len(paths) > 1:
            raise ConfigurationError(
                f"--against {against} is one path, and {len(paths)} are compared with it",
                hint="name one path, or a ref of git, for the same paths there",
            )
        yield against
        return
    for path in paths:
        here = Path(os.path.relpath(path.resolve())).as_posix()
        yield f"{against}:./{'' if here == '.' else here}"


# --- the two sides ---------------------------------------------------------------------------------------------------


def _deployed(path: Path, former: str | None, unchecked: list[str] | None = None) -> Iterator[_Deployed]:
    """The view types below a path.

    Of a former version all must check. Of the present one those that do not are reported already; `unchecked` gets
    their names.
    """
    from projection.testing.finding import manifest_of

    programs, problems = named_programs([path], Report())
    if problems and former is not None:
        raise ConfigurationError(f"{former} cannot be compared with: {problems[0].message}")
    root = (path if path.is_dir() else path.parent).resolve()
    for file, entries in programs.items():
        program = _checked(file, former)
        place = os.path.relpath(file.parent, root)
        for entry in entries or manifest_of(file).views:
            if program is None:
                if unchecked is not None:
                    unchecked.append(str(entry.view_type))
                continue
            yield _Deployed(place, str(entry.view_type), entry, bool(entries), program)


def _checked(file: Path, former: str | None) -> CheckedProgram | None:
    from projection.lang.check.checker import check
    from projection.lang.reporting import ProgramInvalidError
    from projection.lang.source import Source

    try:
        return check(Source(shown_path(file), read_input(file).decode()))
    except (ProgramInvalidError, OSError, UnicodeDecodeError) as error:
        if former is None:
            return None
        why = error.diagnostics[0].message if isinstance(error, ProgramInvalidError) else str(error)
        raise ConfigurationError(
            f"{file.name} of {former} does not check: {why}", hint="compare with a version that does"
        ) from None


def _paired(
    old: list[_Deployed], new: list[_Deployed]
) -> tuple[list[tuple[_Deployed, _Deployed]], list[_Deployed], list[_Deployed]]:
    """What belongs together, by place and view type, then by view type alone; one alone on each side always does."""
    if len(old) == len(new) == 1:
        return [(old[0], new[0])], [], []
    pairs: list[tuple[_Deployed, _Deployed]] = []
    for is_same in (lambda a, b: a.place == b.place, lambda _a, _b: True):
        for was in list(old):
            alike = [one for one in new if one.view_type == was.view_type and is_same(was, one)]
            if len(alike) == 1:
                pairs.append((was, alike[0]))
                old.remove(was)
                new.remove(alike[0])
    return pairs, old, new


# --- what is otherwise -----------------------------------------------------------------------------------------------


def _fold(old: _Deployed, new: _Deployed) -> Fold:
    from projection.engine.deployment import deploy, limits_of
    from projection.engine.recipes import recipe_differences, recipe_of
    from projection.lang.compatibility import reasons
    from projection.lang.program import Program
    from projection.lang.reach import reach
    from projection.lang.run.executors import Execution
    from projection.model.envelope import Tenancy

    has_terms = old.is_of_manifest and new.is_of_manifest  # else there is only the program to compare
    before, after = (
        recipe_of(deploy(entry, Program(one.program, limits_of(entry), Execution.INTERPRETED), Tenancy()))
        for one, entry in ((old, old.entry if has_terms else new.entry), (new, new.entry))
    )
    found = recipe_differences(before, after)
    if "program" in found:
        found["program"] = f"the program ({', '.join(reasons(old.program, new.program))})"
    if found:
        only = reach(old.program, new.program) if found.keys() == {"program"} else None
        return Fold(new.view_type, is_new=True, reasons=tuple(found.values()), reach=only)
    if old.program.source.text == new.program.source.text:
        why = "its program is the same"
    elif old.program.indexes != new.program.indexes:
        why = "only indexes changed, which are built in the background"
    else:
        why = "the program means the same: only comments, layout, names or tests changed"
    return Fold(new.view_type, is_new=False, reasons=(why,))


def _of_program(old: _Deployed, new: _Deployed) -> Iterator[ShownChange]:
    from projection.lang.compatibility import changes

    for one in changes(old.program, new.program):
        finding = in_source(new.program.source, _diagnostic(one))
        yield ShownChange(finding, str(one.side), one.path, one.old, one.new)


def _diagnostic(change: Change) -> Diagnostic:
    from projection.lang import diagnostics as diag
    from projection.lang.compatibility import Side

    what = f"{change.path} {change.what}"
    if not change.is_breaking:
        return diag.compatible(change.span, what)
    breaks = diag.breaks_readers if change.side is Side.READERS else diag.breaks_producers
    return breaks(change.span, what, change.hint)


def _of_manifest(old: _Deployed, new: _Deployed) -> Iterator[ShownChange]:
    if old.entry.changes and not new.entry.changes:
        what = f"this breaks readers: the changes of view type {new.view_type} can no longer be followed"
        finding = _at_top(new.entry.program, what)
        yield ShownChange(finding, "readers", f"view type {new.view_type}", "changes: true", "changes: false")


def _at_top(path: Path, message: str) -> Finding:
    """What breaks readers, about a file as a whole."""
    return structs.replace(in_line(shown_path(path), 1, "C801", message), severity="warning")
