"""What a manifest deploys: each view type with its checked program and the identity of its fold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING

from msgspec import structs

from projection.errors import ConfigurationError
from projection.lang.program import Limits, Program
from projection.lang.reporting import ProgramInvalidError
from projection.lang.run.executors import Execution
from projection.model.manifest import FOLDED_LIMITS
from projection.model.recipe import Recipe, RecipeProgram, RecipeTenancy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from projection.model.envelope import Tenancy
    from projection.model.ids import TenantId
    from projection.model.manifest import Manifest, ManifestView
    from projection.store.build import Build


@dataclass(frozen=True, slots=True)
class DeployedView:
    """A view type, ready to be folded."""

    entry: ManifestView
    program: Program
    tenancy: Tenancy
    base_identity: str  # everything that the state depends on but decisions, hashed; indexes are no part of it
    fold_identity: str  # of the build that it is folded into
    # Operator's decisions: sequence, tenant and view id of events that are left out; None: the event as a whole.
    drops: frozenset[tuple[int, TenantId, str | None]] = frozenset()

    def within(self, build: Build) -> DeployedView:
        """The same as this build folds it: with the build's decisions and identity.

        Raises:
            ConfigurationError: the build is of another program, manifest or tenancy.
        """
        if build.base_identity != self.base_identity:
            raise ConfigurationError(f"{build} is folded by {build.base_identity}, not by {self.base_identity}")
        return replace(self, fold_identity=build.fold_identity, drops=frozenset(build.drops))


def deploy(entry: ManifestView, program: Program, tenancy: Tenancy) -> DeployedView:
    """A view type with the identity that these give it, where there are no decisions yet."""
    identity = recipe(entry, program, tenancy).base_identity
    return DeployedView(entry, program, tenancy, base_identity=identity, fold_identity=identity)


def recipe(entry: ManifestView, program: Program, tenancy: Tenancy) -> Recipe:
    """Write down all that is needed to fold a view type again."""
    source = program.checked.source
    return Recipe(
        manifest={
            "view_type": entry.view_type,
            "subject_template": str(entry.subject_template),
            "subjects": list(entry.subjects),
            "start": entry.start.written,
            "on_error": entry.on_error.value,
            "limits": structs.asdict(entry.limits),
            "partition_by": entry.partition_by,
            **({} if entry.events is None else {"events": entry.events.terms()}),
            "changes": entry.changes,
        },
        tenancy=RecipeTenancy(tenancy.enabled, tenancy.default),
        program=RecipeProgram(PurePath(source.name).name, source.text, program.digest),
    )


def load_deployment(
    manifest: Manifest,
    tenancy: Tenancy,
    subjects: Sequence[str] | None = None,
    execution: Execution = Execution.COMPILED,
) -> tuple[DeployedView, ...]:
    """Check every program of a manifest.

    Args:
        manifest: what to deploy.
        tenancy: whether tenants exist; part of what a fold depends on.
        subjects: what every view type reads instead of what the manifest says.
        execution: how programs are run; no part of what a fold depends on.

    Raises:
        ProgramsInvalidError: with the diagnostics of all programs.
    """
    deployed: list[DeployedView] = []
    invalid: list[ProgramInvalidError] = []
    for named in manifest.views:
        entry = named
        if subjects is not None:
            _require_subjects_of(named, subjects)
            entry = named.replaced(subjects=tuple(sorted(subjects)))
        try:
            program = load_program(entry, manifest.path, execution)
        except ProgramInvalidError as error:
            invalid.append(error)
            continue
        deployed.append(deploy(entry, program, tenancy))
    if invalid:
        raise ProgramsInvalidError(invalid)
    return tuple(deployed)


def load_program(entry: ManifestView, manifest: Path, execution: Execution = Execution.COMPILED) -> Program:
    """The checked program of a manifest's entry, under the name that a reader of the manifest knows it by.

    Raises:
        ProgramInvalidError: with every diagnostic.
        ConfigurationError: the file cannot be read.
    """
    try:
        name = str(manifest.parent / entry.program.relative_to(manifest.parent.resolve()))
    except ValueError:
        name = str(entry.program)
    try:
        return Program.load(entry.program, limits_of(entry), name, execution)
    except OSError as error:
        raise ConfigurationError(f"program {name} of view type {entry.view_type} cannot be read: {error}") from None


def limits_of(entry: ManifestView) -> Limits:
    """What a manifest lets a program use."""
    return Limits(**{name: getattr(entry.limits, name) for name in FOLDED_LIMITS})


def _require_subjects_of(entry: ManifestView, subjects: Sequence[str]) -> None:
    for subject in subjects:
        if (problem := entry.filter_problem(subject)) is not None:
            raise ConfigurationError(f"setting subjects: {problem}")


class ProgramsInvalidError(ProgramInvalidError):
    """Programs of one manifest do not check."""

    def __init__(self, invalid: Iterable[ProgramInvalidError]) -> None:
        self.invalid = tuple(invalid)
        super().__init__(self.invalid[0].source, self.invalid[0].diagnostics)
        if len(self.invalid) > 1:
            self.message = f"{len(self.invalid)} programs do not check: " + "; ".join(
                one.message for one in self.invalid
            )
        self.hint = "`projection check` shows every error with its place"

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.invalid,))

    def render(self) -> str:
        """All diagnostics of all programs."""
        return "\n\n".join(one.render() for one in self.invalid)
