"""What a deployment and a build's recipe have to do with one another.

A former build is folded, and its parked events are, when the manifest's files say something else already or are gone.
"""

from __future__ import annotations

import json
from base64 import b64decode
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from msgspec import structs

from projection.engine.deployment import deploy, limits_of, recipe
from projection.errors import ConfigurationError, ProjectionError
from projection.lang.check.checker import check
from projection.lang.program import Program
from projection.lang.run.executors import Execution
from projection.lang.source import Source
from projection.model.envelope import Tenancy
from projection.model.ids import TenantId
from projection.model.recipe import Recipe
from projection.store.indexes import declared_indexes, described

if TYPE_CHECKING:
    from projection.engine.deployment import DeployedView
    from projection.store.build import Build


READING = ("subjects", "subject_template", "events", "start", "tenancy")  # what decides which events a build has seen


def recipe_of(deployed: DeployedView) -> Recipe:
    """All that is needed to fold a view type again."""
    return recipe(deployed.entry, deployed.program, deployed.tenancy)


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
        return deployed_from(Recipe.decode(build.recipe), execution)
    except (ProjectionError, ValueError) as error:
        raise ConfigurationError(
            f"the program that {build} keeps cannot be used: {error}", hint="use the version that made the build"
        ) from None


def deployed_from(recipe: Recipe, execution: Execution = Execution.COMPILED) -> DeployedView:
    """The view type that a recipe is of.

    Raises:
        ProgramInvalidError: the program does not check.
    """
    source, entry = Source(recipe.program.name, recipe.program.text), recipe.entry
    tenancy = Tenancy(recipe.tenancy.enabled, TenantId(recipe.tenancy.default))
    return deploy(entry, Program(check(source), limits_of(entry), execution), tenancy)


def differences(build: Build, deployed: DeployedView) -> dict[str, str]:
    """What a deployment changes of what a build is folded by: by the names of manifest and settings, in a few words."""
    return recipe_differences(Recipe.decode(build.recipe), recipe_of(deployed))


def build_differences(before: Build, after: Build) -> dict[str, str]:
    """The same of two builds."""
    return recipe_differences(Recipe.decode(before.recipe), Recipe.decode(after.recipe))


def recipe_differences(before: Recipe, after: Recipe) -> dict[str, str]:
    """The same of two recipes; empty where both make one fold."""
    found = {}
    if before.program.digest != after.program.digest:
        is_same = before.program.text == after.program.text
        found["program"] = "what this version of projection makes of the program" if is_same else "the program"
    was, now = before.entry.fold_settings(), after.entry.fold_settings()
    found |= {
        name: f"{name} ({_in_words(was[name])} → {_in_words(now[name])})" for name in now if was[name] != now[name]
    }
    if before.tenancy != after.tenancy:
        found["tenancy"] = "the tenancy (multi_tenancy, default_tenant)"
    return found


def other_differences(build: Build, deployed: DeployedView) -> list[str]:
    """What a deployment changes where the fold stays the same, in a few words each; one at least."""
    before, after = Recipe.decode(build.recipe), recipe_of(deployed)
    was, now = before.entry, after.entry
    found = [
        f"limits.{name} ({_in_words(getattr(was.limits, name))} → {_in_words(value)})"
        for name, value in structs.asdict(now.limits).items()
        if getattr(was.limits, name) != value
    ]
    if was.changes != now.changes:
        found.append(f"`changes` is {'on' if now.changes else 'off'}")
    if was.partition_by != now.partition_by:
        found.append("partition_by")
    if before.program.text != after.program.text:
        found += _text_differences(before, deployed)
    elif before.program.name != after.program.name:
        found.append("the name of the program's file")
    return found or ["how this version of projection records it"]


def _text_differences(before: Recipe, deployed: DeployedView) -> list[str]:
    """What is different in the text of a program that means the same."""
    now = declared_indexes(deployed.program.checked)
    try:
        was = declared_indexes(check(Source(before.program.name, before.program.text)))
    except ProjectionError:  # this version refuses what an earlier one took
        return ["the text of the program"]
    found = [f"new index by {described(one)}" for one in now if one not in was]
    found += [f"no index by {described(one)} any more" for one in was if one not in now]
    return found or ["comments, names, layout or tests of the program"]


def _with_digests(value: Any) -> Any:
    """The same with a digest in place of what a file held."""
    if isinstance(value, dict) and value.keys() == {"base64"}:
        return f"sha256:{sha256(b64decode(value['base64'])).hexdigest()[:16]}"
    if isinstance(value, dict):
        return {name: _with_digests(one) for name, one in value.items()}
    return value


def _in_words(value: Any) -> str:
    """A setting of the manifest as people read it."""
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, dict):
        return json.dumps(_with_digests(value), ensure_ascii=False)
    return f"{value:,}" if isinstance(value, int) else str(value)
