"""The manifest: which view types a team ships, the program of each, and what their folds depend on beside it."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from msgspec import Meta

from projection.errors import ConfigurationError
from projection.inputs import open_input
from projection.model.documents import read_document
from projection.model.fields import FieldsInvalidError, Struct, read_struct
from projection.model.files import is_file
from projection.model.ids import ViewType
from projection.model.problems import Problem, problems
from projection.model.subjects import DEFAULT_TEMPLATE, SubjectTemplate, filter_problem, meet
from projection.model.timestamp import format_timestamp, parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projection.model.event_format.declaration import EventFormat


class Policy(StrEnum):
    """What a lane does with an event that its program cannot take."""

    PARK = "park"  # keep it, and the later ones of the same view behind it
    SKIP = "skip"  # record it and go on
    HALT = "halt"  # stop the lane


def _instant(text: str) -> str:
    return format_timestamp(parse_timestamp(text).time)  # equal instants are equal starts, however written


def _template(text: str) -> str:
    return str(SubjectTemplate.parse(text))


MAX_EVENT_GAS = 100_000_000  # at 11 ns a unit
# What a fold depends on of the limits. The others bound what may wait, and say when nothing more is folded.
FOLDED_LIMITS = ("gas", "route_gas", "ids_per_event", "view_bytes")
PartitionBy = Literal["tenant", "subject", "view"]  # what each means: projection/lang/partition.py


class Start(Struct, frozen=True, kw_only=True):
    """Where a view type begins to read the log: at its first event, at a sequence, or at a time (RFC 3339, UTC)."""

    sequence: Annotated[int, Meta(ge=1)] | None = None
    time: Annotated[str, _instant] | None = None

    @classmethod
    def short(cls, value: Any) -> Any:
        """The fields of what stands in a manifest; see `projection.model.fields`."""
        if value == "first":
            return {}
        if isinstance(value, dict) and len(value) == 1:
            return value
        raise ValueError(
            f"{value!r:.80} is not a start: `first`, `{{sequence: 17}}` or `{{time: 2000-01-01T00:00:00Z}}`"
        )

    @property
    def written(self) -> str | dict[str, int | str]:
        """As it stands in a manifest."""
        if self.sequence is not None:
            return {"sequence": self.sequence}
        return "first" if self.time is None else {"time": self.time}

    def __str__(self) -> str:
        if self.sequence is not None:
            return f"sequence {self.sequence}"
        return "first" if self.time is None else f"time {self.time}"


FIRST = Start()


class Limits(Struct, frozen=True, kw_only=True):
    """What one view type may use; the upper bounds are hard, the defaults those of the language's edition."""

    gas: Annotated[int, Meta(ge=1, le=10_000_000)] = 200_000  # per event and view id
    route_gas: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000  # per event, for finding the view ids
    ids_per_event: Annotated[int, Meta(ge=1, le=4_096)] = 64
    view_bytes: Annotated[int, Meta(ge=1, le=16 * 1024 * 1024)] = 1024 * 1024  # of one view's JSON
    # None of these changes what a fold comes to, until one of them is reached.
    parked: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000  # events parked in one lane; beyond them it halts
    parked_per_tenant: Annotated[int, Meta(ge=1, le=1_000_000)] = 4_000  # beyond them the tenant is suspended
    parked_per_view: Annotated[int, Meta(ge=1, le=1_000_000)] = 2_000  # beyond them the view is suspended
    skipped: Annotated[int, Meta(ge=0, le=1_000_000)] = 1_000  # skipped events kept whole in one lane; more are counted

    def __post_init__(self) -> None:
        """Nothing else of the node goes on during one event, which is therefore soon done."""
        if (most := self.gas * self.ids_per_event) > MAX_EVENT_GAS:
            raise ValueError(
                f"gas times ids_per_event is {most}, and one event may use {MAX_EVENT_GAS}, about a second of work; "
                f"with this gas, allow at most {MAX_EVENT_GAS // self.gas} ids"
            )


NO_LIMITS = Limits()  # of a view type's own: the defaults


class ManifestView(Struct, frozen=True, kw_only=True):
    """One view type of a manifest, complete: nothing is left to be looked up elsewhere."""

    view_type: ViewType
    program: Path  # absolute; a file in the manifest's folder or below
    subject_template: SubjectTemplate
    events: EventFormat | None = None  # what describes the messages; None: they hold envelopes
    subjects: tuple[str, ...]  # sorted; never empty
    start: Start
    on_error: Policy
    limits: Limits
    partition_by: PartitionBy | None = None  # how the log may be split among lanes; None: one lane reads all of it
    changes: bool = False  # whether the store keeps when each view changed last, for those who follow changes
    columns: tuple[str, ...] = ()  # paths of fields that have a column of their own where the views are in tables

    @property
    def all_subjects(self) -> tuple[str, ...]:
        """Filters that take every subject which events of this manifest may have."""
        return (self.subject_template.filter(),) if self.events is None else self.events.filters

    def filter_problem(self, subject_filter: str) -> str | None:
        """What is wrong with a filter for subjects of this manifest; None when it takes such subjects."""
        return _filter_problem(subject_filter, self.subject_template, self.events)

    def fold_settings(self) -> dict[str, Any]:
        """List all that the state depends on beside program and tenancy, by the manifest's names, as JSON values.

        `partition_by` is no part of it: it says which lane folds a view, and every lane folds it alike. Nor are
        `changes` and `columns`: what is kept beside the views does not change them.
        """
        return {
            "on_error": self.on_error.value,
            **{f"limits.{name}": getattr(self.limits, name) for name in FOLDED_LIMITS},
            "subjects": list(self.subjects),
            "subject_template": str(self.subject_template),
            "events": None if self.events is None else self.events.terms(),
            "start": str(self.start),
        }

    def fold_terms(self) -> dict[str, Any]:
        """List those of them that are not at their defaults, so that a key added later changes no fold's identity.

        That holds because an edition never changes a default (docs/decisions/0021-what-is-pinned.md).
        """
        defaults = {
            "on_error": Policy.PARK.value,
            **{f"limits.{name}": getattr(NO_LIMITS, name) for name in FOLDED_LIMITS},
            "subjects": list(self.all_subjects),
            "subject_template": DEFAULT_TEMPLATE,
            "events": None,
            "start": str(FIRST),
        }
        return {name: value for name, value in self.fold_settings().items() if value != defaults[name]}


class ManifestInvalidError(ConfigurationError):
    """A manifest that says something that is not allowed; `problems` are all that is wrong, each with its field."""

    def __init__(self, message: str, problems: Sequence[Problem]) -> None:
        super().__init__(message)
        self.problems = tuple(problems)

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.message, self.problems))


def recorded_view(fields: Mapping[str, Any], program: Path) -> ManifestView:
    """The entry that a build was made by, of its JSON values; a key that is not there has its default.

    Raises:
        KeyError: the view type or the subject template is not there.
        ValueError: something else is wrong.
    """
    entry = dict(fields)
    view_type, template = ViewType(entry.pop("view_type")), SubjectTemplate.parse(entry.pop("subject_template"))
    events = entry.pop("events", None)
    read = read_struct(_FileView, {**entry, "program": str(program)})
    if not read.subjects:
        raise ValueError("it names no subjects")
    return read.completed(view_type, program, template, events and _event_format(events), read.subjects)


_RESERVED = ("catalog",)  # folders of a data folder that are no view type's


class Manifest(Struct, frozen=True, kw_only=True):
    """What a team ships beside its programs, read and checked; the programs themselves are the engine's to check."""

    path: Path  # of the manifest file
    subject_template: SubjectTemplate
    events: EventFormat | None = None
    views: tuple[ManifestView, ...]  # in the order of their view types; never empty

    @classmethod
    def load(cls, path: Path) -> Self:
        """The manifest in a YAML, TOML or JSON file.

        Raises:
            ConfigurationError: it cannot be read, or says something that is not allowed; all that is wrong is named.
        """
        try:
            file = read_struct(_File, read_document(path))
        except FieldsInvalidError as error:
            raise _refusal(path, error.problems) from None
        template = SubjectTemplate.parse(file.subject_template or DEFAULT_TEMPLATE)
        wrong: list[Problem] = []
        if file.events is not None and file.subject_template is not None:
            text = "stands beside `events`, which says in `subjects` what the subjects are: leave one of them out"
            wrong.append(Problem(("subject_template",), text))
        events, unread = _with_files(file.events, path.parent)
        wrong += unread
        everything = (template.filter(),) if events is None else events.filters
        views = []
        for view_type, entry in sorted(file.views.items()):
            at = ("views", view_type)
            if view_type in _RESERVED:
                wrong.append(
                    Problem(at, f"{str(view_type)!r} is taken by the data folder itself; give it another name")
                )
            subjects = tuple(sorted(entry.subjects or everything))
            wrong += [Problem((*at, "subjects"), text) for text in _wrong_subjects(subjects, template, events)]
            program = path.parent / entry.program
            if (problem := _wrong_file(entry.program, path.parent)) is not None:
                wrong.append(Problem((*at, "program"), problem))
                continue
            views.append(entry.completed(view_type, program.resolve(), template, events, subjects))
        if wrong:
            raise _refusal(path, wrong)
        return cls(path=path, subject_template=template, events=events, views=tuple(views))


class _FileView(Struct, frozen=True, kw_only=True):
    """A view type as it stands in the file."""

    program: str
    subjects: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None
    start: Start = FIRST
    on_error: Policy = Policy.PARK
    limits: Limits = NO_LIMITS
    partition_by: PartitionBy | None = None
    changes: bool = False
    columns: Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=1_000)], ...], Meta(max_length=500)] = ()

    def completed(
        self,
        view_type: ViewType,
        program: Path,
        template: SubjectTemplate,
        events: EventFormat | None,
        subjects: tuple[str, ...],
    ) -> ManifestView:
        """The same with all that is said elsewhere."""
        return ManifestView(
            view_type=view_type,
            program=program,
            subject_template=template,
            events=events,
            subjects=subjects,
            start=self.start,
            on_error=self.on_error,
            limits=self.limits,
            partition_by=self.partition_by,
            changes=self.changes,
            columns=self.columns,
        )


def _event_format(value: Any) -> EventFormat:
    """What a manifest says of messages; most manifests say nothing, and need no pydantic."""
    from pydantic import ValidationError  # noqa: PLC0415 - see above

    from projection.model.event_format.declaration import EventFormat  # noqa: PLC0415 - see above

    try:
        return EventFormat.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        raise FieldsInvalidError(problems(error, EventFormat)) from None


class _File(Struct, frozen=True, kw_only=True):
    """A manifest as it stands in the file; read with JSON's own types, so that nothing is converted on the quiet."""

    manifest: Literal[1]
    subject_template: Annotated[str, _template] | None = None
    events: Annotated[Any, _event_format] | None = None
    views: Annotated[dict[ViewType, _FileView], Meta(min_length=1)]


def _filter_problem(subject_filter: str, template: SubjectTemplate, events: EventFormat | None) -> str | None:
    if events is None:
        return template.filter_problem(subject_filter)
    if (problem := filter_problem(subject_filter)) is not None:
        return problem
    if any(meet(subject_filter, one) for one in events.filters):
        return None
    return f"{subject_filter!r} takes none of the subjects in `events`: {', '.join(events.subjects)}"


def _wrong_subjects(subjects: tuple[str, ...], template: SubjectTemplate, events: EventFormat | None) -> list[str]:
    wrong = [problem for subject in subjects if (problem := _filter_problem(subject, template, events)) is not None]
    for index, one in enumerate(subjects):
        wrong += [
            f"{one!r} and {other!r} take some of the same subjects; a stream refuses that: name one filter for both"
            for other in subjects[index + 1 :]
            if not wrong and meet(one, other)
        ]
    return wrong


def _wrong_file(name: str, folder: Path) -> str | None:
    """What is wrong with this path of a program or a schema; None when nothing is."""
    try:
        target = Path(os.path.realpath(folder / name))  # `resolve` meets a loop of links otherwise in every version
        if Path(name).is_absolute() or not target.is_relative_to(folder.resolve()):
            return f"{name!r} is not a path inside the manifest's folder"
        return None if is_file(target) else f"{name!r} does not exist (looked for the file {target})"
    except (OSError, ValueError):  # a NUL, a name that is too long
        return f"{name!r} is not a path of a file"


def _with_files(events: EventFormat | None, folder: Path) -> tuple[EventFormat | None, list[Problem]]:
    """The description with the contents of its schemas, and what is wrong with them.

    Raises:
        ConfigurationError: the encoding takes a library that is not installed.
    """
    if events is None:
        return None, []
    from projection.model.event_format.encodings.coding import coding  # noqa: PLC0415 - see `_event_format`
    from projection.model.event_format.encodings.declaration import MAX_SCHEMA_BYTES  # noqa: PLC0415 - as above

    at, wrong = ("events", "encoding"), []
    for field, name in events.encoding.files():
        if (problem := _wrong_file(name, folder)) is not None:
            wrong.append(Problem((*at, *field), problem))
    if wrong:
        return events, wrong

    def read(name: str) -> bytes:
        with open_input(folder / name) as file:
            data = file.read(MAX_SCHEMA_BYTES + 1)
        if len(data) > MAX_SCHEMA_BYTES:
            raise ValueError(f"{name} is longer than {MAX_SCHEMA_BYTES:,} bytes")
        return data

    try:
        found = events.model_copy(update={"encoding": events.encoding.with_files(read)})
        coding(found.encoding)
    except (OSError, ValueError) as error:
        return events, [Problem(at, f"cannot be read: {error}")]
    return found, []


def _refusal(path: Path, wrong: Sequence[Problem]) -> ManifestInvalidError:
    first, *more = (f"field {problem.field}: {problem.text}" if problem.path else problem.text for problem in wrong)
    if not more:
        return ManifestInvalidError(f"manifest {path}, {first}", wrong)
    return ManifestInvalidError("\n  ".join((f"manifest {path} has {len(wrong)} problems:", first, *more)), wrong)
