"""What a deployment and a build's recipe have to do with one another.

A former build is folded, and its parked events are, when the manifest's files say something else already or are gone.
"""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from projection.engine.deployment import deploy, limits_of
from projection.errors import ConfigurationError, ProjectionError
from projection.lang.check.checker import check
from projection.lang.program import Program
from projection.lang.run.executors import Execution
from projection.lang.source import Source
from projection.model.envelope import Tenancy
from projection.model.ids import TenantId
from projection.model.manifest import ManifestView
from projection.model.recipe import Recipe, RecipeProgram, RecipeTenancy
from projection.model.subjects import SubjectTemplate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from projection.engine.deployment import DeployedView
    from projection.store.catalog import Build


def recipe_of(deployed: DeployedView) -> Recipe:
    """All that is needed to fold a view type again."""
    entry, source = deployed.entry, deployed.program.checked.source
    return Recipe(
        manifest={
            "view_type": entry.view_type,
            "subject_template": str(entry.subject_template),
            "subjects": list(entry.subjects),
            "start": entry.start.model_dump(exclude_none=True) or "first",
            "on_error": entry.on_error.value,
            "limits": entry.limits.model_dump(),
            "partition_by": entry.partition_by,
            "changes": entry.changes,
        },
        tenancy=RecipeTenancy(deployed.tenancy.enabled, deployed.tenancy.default),
        program=RecipeProgram(PurePath(source.name).name, source.text, deployed.program.digest),
    )


def deployed_by(build: Build, execution: Execution = Execution.COMPILED) -> DeployedView:
    """The view type as a build folds it, out of its recipe.

    Raises:
        ConfigurationError: this version of the package cannot use it, or makes another fold of it.
    """
    deployed = deployed_like(build, execution)
    if deployed.base_identity != build.base_identity:
        raise ConfigurationError(
            f"this version of projection folds the program that {build} keeps into something else",
            hint="use the version that made the build",
        )
    return deployed.within(build)


def deployed_like(build: Build, execution: Execution = Execution.COMPILED) -> DeployedView:
    """What this version of the package makes of a build's recipe, be it the same fold or another.

    Raises:
        ConfigurationError: it cannot use it.
    """
    try:
        recipe = Recipe.decode(build.recipe)
        source = Source(recipe.program.name, recipe.program.text)
        template = SubjectTemplate.parse(recipe.manifest["subject_template"])
        entry = ManifestView(**{**recipe.manifest, "program": Path(source.name), "subject_template": template})
        tenancy = Tenancy(recipe.tenancy.enabled, TenantId(recipe.tenancy.default))
        return deploy(entry, Program(check(source), limits_of(entry), execution), tenancy)
    except (ProjectionError, ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(
            f"the program that {build} keeps cannot be used: {error}", hint="use the version that made the build"
        ) from None


def differences(build: Build, deployed: DeployedView) -> dict[str, str]:
    """What a deployment changes of what a build is folded by: by the names of manifest and settings, in a few words."""
    return recipe_differences(Recipe.decode(build.recipe), recipe_of(deployed))


def recipe_differences(before: Recipe, after: Recipe) -> dict[str, str]:
    """The same of two recipes; empty where both make one fold."""
    found = {}
    if before.program.digest != after.program.digest:
        is_same = before.program.text == after.program.text
        found["program"] = "what this version of projection makes of the program" if is_same else "the program"
    was, now = _flat(before.manifest), _flat(after.manifest)
    found |= {name: f"{name} ({was.get(name)} → {now[name]})" for name in now if was.get(name) != now[name]}
    if before.tenancy != after.tenancy:
        found["tenancy"] = "the tenancy (multi_tenancy, default_tenant)"
    return found


def _flat(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The manifest's fields that a fold depends on, as texts by dotted names."""
    limits = {f"limits.{name}": f"{value:,}" for name, value in manifest["limits"].items()}
    return {
        "on_error": manifest["on_error"],
        **limits,
        "subjects": ", ".join(manifest["subjects"]),
        "subject_template": manifest["subject_template"],
        "start": " ".join(map(str, *start.items())) if isinstance(start := manifest["start"], dict) else start,
    }
