"""What `projection check` looks at: programs and manifests together, and the events kept beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from projection.cli.findings import Finding, in_line, in_source, shown_path
from projection.cli.fixtures import Fit, RecordedMessages
from projection.errors import ConfigurationError
from projection.inputs import read_input

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from projection.cli.comparing import Compared
    from projection.lang.check.checker import CheckedProgram
    from projection.lang.program import Limits
    from projection.lang.source import Source
    from projection.model.manifest import ManifestView

_MANIFESTS = (".yaml", ".yml", ".toml", ".json")
_SCENARIOS = tuple(f".scenario{suffix}" for suffix in _MANIFESTS)
_FIXTURES = ("events*.jsonl", "events*.jsonl.gz", *(f"*{ending}" for ending in _SCENARIOS))


class Report(msgspec.Struct):
    """What was looked at, and all that was found, in the order of files and lines."""

    programs: list[CheckedProgram] = msgspec.field(default_factory=list)
    program_count: int = 0  # with those that do not check
    manifest_count: int = 0
    entries: list[tuple[Path, ManifestView]] = msgspec.field(default_factory=list)  # of manifests, each with its file
    fixture_count: int = 0
    findings: list[Finding] = msgspec.field(default_factory=list)
    compared: Compared | None = None  # with a former version, where that was asked for

    @property
    def shown(self) -> list[Finding]:
        """All findings, those of the comparison behind the others."""
        return self.findings + ([one.finding for one in self.compared.changes] if self.compared else [])

    @property
    def errors(self) -> int:
        """How many findings are more than warnings."""
        return sum(one.is_error for one in self.findings)

    @property
    def warnings(self) -> int:
        """How many are not."""
        return len(self.findings) - self.errors


def checked(paths: Iterable[Path]) -> Report:
    """Look at programs, manifests and folders of both.

    Raises:
        ConfigurationError: a path is none of these.
    """
    report = Report()
    programs, problems = named_programs(paths, report)
    found = dict.fromkeys(problems)  # each once: two manifests may name one program
    report.program_count = len(programs)
    by_folder: dict[Path, tuple[list[CheckedProgram], list[ManifestView]]] = {}
    for path, views in programs.items():
        program, problems = _program(path, views)
        found |= dict.fromkeys(problems)
        known, named = by_folder.setdefault(path.parent, ([], []))
        named += views
        if program is not None:
            known.append(program)
            report.programs.append(program)
            found |= dict.fromkeys(one for entry in report.entries for one in _columns(*entry, path, program))
    for folder, (known, named) in by_folder.items():
        if not (files := sorted({file for pattern in _FIXTURES for file in folder.glob(pattern)})):
            continue
        fit = Fit(known, RecordedMessages(folder, named))
        for file in files:
            report.fixture_count += 1
            found |= dict.fromkeys(_scenario(file, known) if file.name.endswith(_SCENARIOS) else _events(file, fit))
    report.findings = sorted(found, key=lambda one: (one.place, not one.is_error, one.code))
    return report


def deployed_programs(paths: Iterable[Path]) -> Iterator[tuple[CheckedProgram | None, str | None, Limits]]:
    """Each program with the view type and the limits of each manifest that names it; None where it does not check.

    What is wrong is said on stderr.

    Raises:
        ConfigurationError: a path is neither a program, nor a manifest, nor a folder of them.
    """
    from projection.cli.console import note
    from projection.lang.program import Limits

    programs, problems = named_programs(paths, Report())
    for finding in problems:
        note(f"{finding.severity}[{finding.code}]: {finding.message}\n{finding.excerpt}")
    for path, views in programs.items():
        program, problems = _program(path, [])
        for finding in problems if program is None else ():
            note(f"{finding.severity}[{finding.code}]: {finding.message}\n{finding.excerpt}")
        if not views:
            yield program, None, Limits()
        for view in views:
            yield program, str(view.view_type), _limits(view)


def named_programs(paths: Iterable[Path], report: Report) -> tuple[dict[Path, list[ManifestView]], list[Finding]]:
    """The programs below some paths, each with the entries of manifests that name it; what is wrong with manifests."""
    programs: dict[Path, list[ManifestView]] = {}
    found: list[Finding] = []
    for path in (file for named in paths for file in _files(named)):
        if path.suffix == ".proj":
            programs.setdefault(path.resolve(), [])
            continue
        report.manifest_count += 1
        deployed, problems = _manifest(path)
        found += problems
        for view in deployed:
            programs.setdefault(view.program, []).append(view)
            report.entries.append((path, view))
    return programs, found


# --- files -----------------------------------------------------------------------------------------------------------


def _files(path: Path) -> Iterator[Path]:
    """The programs and manifests that a path names."""
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if not _is_hidden(file.relative_to(path))]
        found = [one for one in files if one.suffix == ".proj" or (one.stem == "manifest" and one.suffix in _MANIFESTS)]
        if not found:
            raise ConfigurationError(
                f"{path}/ holds no program and no manifest", hint="name a .proj file or a manifest"
            )
        yield from found
    elif not path.exists():
        raise ConfigurationError(f"{path} does not exist")
    elif path.name.endswith(_SCENARIOS):
        raise ConfigurationError(f"{path} is a scenario", hint="name its folder: it is checked beside its program")
    elif path.suffix == ".proj" or path.suffix in _MANIFESTS:
        yield path
    else:
        raise ConfigurationError(f"{path} is neither a program (.proj) nor a manifest (.yaml, .toml, .json)")


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _document(path: Path) -> Source:
    """A manifest or a scenario as a text to point into."""
    from projection.lang.source import Source

    try:
        text = read_input(path).decode("utf-8-sig", errors="replace")
    except (OSError, ValueError):
        text = ""
    return Source(shown_path(path), text)


def _manifest(path: Path) -> tuple[tuple[ManifestView, ...], list[Finding]]:
    """The view types of a manifest, and what is wrong with it."""
    from projection.model.manifest import Manifest, ManifestInvalidError

    try:
        return Manifest.load(path).views, []
    except ManifestInvalidError as error:
        return (), [_in_field(path, one.path, f"field {one.field}: {one.text}") for one in error.problems]
    except ConfigurationError as error:
        return (), [_in_document(path, error)]


def _in_field(path: Path, field_path: tuple[str | int, ...], why: str) -> Finding:
    from projection.lang.diagnostics import manifest_invalid
    from projection.lang.source import Span
    from projection.model.places import place_of

    source = _document(path)
    span = Span(*place_of(source.text, path.suffix, field_path))
    return in_source(source, manifest_invalid(span, why if field_path else why.removeprefix("field : ")))


def _in_document(path: Path, error: ConfigurationError) -> Finding:
    """A document that cannot be read at all; where it is known, the message names the place."""
    from projection.lang.diagnostics import manifest_invalid
    from projection.lang.source import Span
    from projection.model.places import mark_in

    source = _document(path)
    return in_source(source, manifest_invalid(Span(*mark_in(source.text, error.message)), str(error)))


# --- programs --------------------------------------------------------------------------------------------------------


def _program(path: Path, views: Iterable[ManifestView]) -> tuple[CheckedProgram | None, list[Finding]]:
    """A program, and what is wrong with it, also under the limits of the manifests that name it."""
    from projection.lang import partition
    from projection.lang.cost import bounds
    from projection.lang.program import Limits, Program
    from projection.lang.reporting import ProgramInvalidError
    from projection.lang.run.executors import Execution

    name = shown_path(path)
    try:
        program = Program.load(path, name=name, execution=Execution.INTERPRETED).checked
    except ProgramInvalidError as error:
        return None, [in_source(error.source, one) for one in error.diagnostics]
    except OSError as error:
        return None, [in_line(name, 1, "P110", f"the file cannot be read: {error.strerror}")]
    limits = [_limits(view) for view in views] or [Limits()]
    found = [*program.warnings, *(one for each in limits for one in bounds.problems(program, each))]
    found += [one for view in views for one in partition.problems(program, view.partition_by)]
    return program, [in_source(program.source, one) for one in found]


def _columns(manifest: Path, view: ManifestView, path: Path, program: CheckedProgram) -> Iterator[Finding]:
    """What is wrong with the columns of an entry, where this is its program."""
    if not view.columns or view.program != path:
        return
    from projection.query.schema import ViewSchema
    from projection.sink.columns import Rows

    schema = ViewSchema.of(program.source.name, program.source.text)
    for place, column in enumerate(view.columns):
        try:
            Rows(view.view_type, schema, [column])
        except ConfigurationError as error:
            yield _in_field(manifest, ("views", view.view_type, "columns", place), str(error))


def _limits(view: ManifestView) -> Limits:
    from projection.lang.program import Limits
    from projection.model.manifest import FOLDED_LIMITS

    return Limits(**{name: getattr(view.limits, name) for name in FOLDED_LIMITS})


# --- events kept beside programs -------------------------------------------------------------------------------------


def _events(path: Path, fit: Fit) -> Iterator[Finding]:
    from projection.stream.file_feed import read_events

    name = shown_path(path)
    try:
        for line, data in read_events(path):
            for one in fit.problems(data):
                yield in_line(name, line, one.code, one.message, one.hint, one.severity)
    except ConfigurationError as error:
        yield in_line(name, 1, "D101", error.message)


def _scenario(path: Path, programs: list[CheckedProgram]) -> Iterator[Finding]:
    from projection.testing.scenarios import Scenario

    try:
        scenario = Scenario.load(path)
    except ConfigurationError as error:
        yield _in_document(path, error)
        return
    if not scenario.projection.is_file():
        yield _in_field(path, ("program",), f"there is no file {shown_path(scenario.projection)}")
    if isinstance(scenario.events, Path):
        if not (path.parent / scenario.events).exists():
            yield _in_field(path, ("events",), f"there is no file {shown_path(path.parent / scenario.events)}")
        return
    fit = Fit(programs, RecordedMessages(scenario.projection))
    encode = msgspec.json.Encoder(decimal_format="number").encode
    for index, event in enumerate(scenario.events):
        for one in fit.problems(encode(event)):
            finding = _in_field(path, ("events", index), one.message)
            if one.severity == "error":
                yield msgspec.structs.replace(finding, code=one.code)
            else:
                place = finding.place
                yield in_line(place.file, place.line, one.code, one.message, one.hint, one.severity)
