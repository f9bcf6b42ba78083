"""What a manifest comes to in a data folder: which view types fold anew, which go on, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from projection.engine.recipes import deployed_from, differences, recipe_of
from projection.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.engine.deployment import DeployedView
    from projection.lang.run.executors import Execution
    from projection.model.ids import ViewType
    from projection.model.recipe import Recipe
    from projection.store.build import Build
    from projection.store.catalog import Catalog, CatalogReader


class Change(StrEnum):
    """What a deployment does with a view type."""

    NEW = "is new"  # there is no build of it yet
    ANEW = "folds anew"  # beside the build that answers, until it is level
    BACK = "goes back"  # to a former build, which folds what it lacks beside the one that answers
    ON = "goes on"  # the fold is the same; what else the manifest says of it may not be
    UNDER_WAY = "is under way"  # the build that is wanted is being folded already
    LEFT = "is left out"  # the manifest does not name it: it is served, and folded no more


@dataclass(frozen=True, slots=True)
class Step:
    """What a deployment does with one view type."""

    view_type: ViewType
    change: Change
    why: str = ""  # what is different, in a few words
    deployed: DeployedView | None = None  # None: it is left out
    answers: Build | None = None
    build: Build | None = None  # that is wanted; None: it is to be made


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
        StorageError: the catalogue cannot be read.
    """
    steps = [_step(catalog, one) for one in deployed]
    named = {one.entry.view_type for one in deployed}
    left = [view_type for view_type in catalog.view_types() if view_type not in named]
    return steps + [Step(view_type, Change.LEFT, answers=catalog.serving(view_type)) for view_type in left]


def _step(catalog: Catalog | CatalogReader, one: DeployedView) -> Step:
    view_type = one.entry.view_type
    answers, candidate = catalog.serving(view_type), catalog.candidate(view_type)
    if answers is None:
        return Step(view_type, Change.NEW, deployed=one)
    if candidate is not None:
        if candidate.base_identity == one.base_identity:
            return Step(view_type, Change.UNDER_WAY, deployed=one, answers=answers, build=candidate)
        raise ConfigurationError(
            f"build {candidate.number} of view type {view_type} is under way, and it is not what is to be deployed",
            hint=f"wait until it answers, or give it up: `projection builds delete {view_type} {candidate.number}`",
        )
    if answers.base_identity == one.base_identity:
        why = "" if answers.recipe == recipe_of(one).encode() else "indexes, comments or changes differ"
        return Step(view_type, Change.ON, why, one, answers, answers)
    why = ", ".join(differences(answers, one).values())
    same = [build for build in catalog.builds(view_type) if build.base_identity == one.base_identity]
    return Step(view_type, Change.BACK if same else Change.ANEW, why, one, answers, same[-1] if same else None)
