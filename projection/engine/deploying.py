"""What a manifest comes to in a data folder: which view types fold anew, which go on, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from projection.engine.recipes import deployed_from, differences, other_differences, recipe_of
from projection.engine.scope import scope_of
from projection.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.engine.deployment import DeployedView
    from projection.engine.scope import Scope
    from projection.lang.run.executors import Execution
    from projection.model.ids import ViewType
    from projection.model.recipe import Recipe
    from projection.store.build import Build
    from projection.store.catalog import Catalog, CatalogReader


@dataclass(frozen=True, slots=True)
class Step:
    """What a deployment does with one view type; each kind of change is a class of its own."""

    change: ClassVar[str]  # in words
    view_type: ViewType
    why: str  # what is different, in a few words; empty where nothing is

    @property
    def known_build(self) -> Build | None:
        """The build that is wanted, where there is one already."""
        return None

    @property
    def scope(self) -> Scope | None:
        """Which views fold anew, where a new build replaces another."""
        return None


@dataclass(frozen=True, slots=True)
class Begins(Step):
    """There is no build of the view type yet."""

    change: ClassVar[str] = "is new"
    deployed: DeployedView


@dataclass(frozen=True, slots=True)
class FoldsAnew(Step):
    """A new build is folded beside the one that answers, and replaces it."""

    change: ClassVar[str] = "folds anew"
    deployed: DeployedView
    answers: Build
    wanted: Scope  # which views fold anew

    @property
    def scope(self) -> Scope:
        """See `Step`."""
        return self.wanted


@dataclass(frozen=True, slots=True)
class OfBuild(Step):
    """A step that is about a build that exists."""

    deployed: DeployedView
    answers: Build
    build: Build

    @property
    def known_build(self) -> Build | None:
        """See `Step`."""
        return self.build


@dataclass(frozen=True, slots=True)
class GoesBack(OfBuild):
    """A former build folds what it lacks beside the one that answers, and replaces it."""

    change: ClassVar[str] = "goes back"


@dataclass(frozen=True, slots=True)
class GoesOn(OfBuild):
    """The build that answers goes on: the fold is the same; what else the manifest says of it may not be."""

    change: ClassVar[str] = "goes on"


@dataclass(frozen=True, slots=True)
class IsUnderWay(OfBuild):
    """The build that is wanted is folded beside the one that answers already."""

    change: ClassVar[str] = "is under way"


@dataclass(frozen=True, slots=True)
class WasRolledBack(OfBuild):
    """An operator went back from the build that is wanted: nothing is done until it is promoted."""

    change: ClassVar[str] = "was rolled back"


@dataclass(frozen=True, slots=True)
class IsLeftOut(Step):
    """The manifest does not name the view type: it is served, and no longer folded."""

    change: ClassVar[str] = "is left out"


@dataclass(frozen=True, slots=True)
class StepTaken:
    """What a deployment did with one view type."""

    step: Step
    build: Build | None  # that is folded from here on, where it is another than before


def deployed_together(recipes: Sequence[Recipe], execution: Execution) -> list[DeployedView]:
    """The view types of a manifest, out of their recipes.

    Raises:
        ConfigurationError: there are none, two are of one view type, or they do not go together in one node.
        ProgramInvalidError: a program does not check.
    """
    deployed = [deployed_from(one, execution) for one in recipes]
    names = [one.entry.view_type for one in deployed]
    if not names or len({*names}) < len(names):
        raise ConfigurationError("a deployment names each of its view types once, and one at least")
    if len({(str(one.entry.subject_template), one.tenancy) for one in deployed}) > 1:
        raise ConfigurationError("the view types of a deployment have one subject template and one tenancy")
    return deployed


def plan_deployment(catalog: Catalog | CatalogReader, deployed: Sequence[DeployedView]) -> list[Step]:
    """What a deployment would do; writes nothing.

    Args:
        catalog: of the data folder.
        deployed: what the manifest deploys.

    Raises:
        ConfigurationError: another build of a view type that is to change is under way already.
        StorageError: the catalog cannot be read.
    """
    steps = [_step(catalog, one) for one in deployed]
    named = {one.entry.view_type for one in deployed}
    left = [view_type for view_type in catalog.view_types() if view_type not in named]
    return steps + [IsLeftOut(view_type, "") for view_type in left]


def _step(catalog: Catalog | CatalogReader, one: DeployedView) -> Step:
    view_type = one.entry.view_type
    answers, candidate = catalog.serving(view_type), catalog.candidate(view_type)
    if answers is None:
        return Begins(view_type, "", one)
    if candidate is not None:
        if candidate.base_identity == one.base_identity:
            return IsUnderWay(view_type, "", one, answers, candidate)
        raise ConfigurationError(
            f"build {candidate.number} of view type {view_type} is under way, and it is not what is to be deployed",
            hint=f"wait until it answers, or give it up: `projection builds delete {view_type} {candidate.number}`",
        )
    if answers.base_identity == one.base_identity:
        is_same = answers.recipe == recipe_of(one).encode()
        why = "" if is_same else f"{', '.join(other_differences(answers, one))}; no view changes"
        return GoesOn(view_type, why, one, answers, answers)
    why = ", ".join(differences(answers, one).values())
    same = [build for build in catalog.builds(view_type) if build.base_identity == one.base_identity]
    if not same:
        return FoldsAnew(view_type, why, one, answers, scope_of(answers, one))
    kind = WasRolledBack if same[-1].gate.rolled_back else GoesBack
    return kind(view_type, why, one, answers, same[-1])
