"""What a node deploys when its manifest is read anew: the file, or what was deployed last where there is none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from projection.engine.deployer import LEFT_OUT
from projection.engine.deploying import deployed_together
from projection.engine.deployment import load_deployment
from projection.errors import ConfigurationError
from projection.model.files import is_there
from projection.model.manifest import Manifest
from projection.model.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projection.engine.deployment import DeployedView
    from projection.engine.lane_access import LaneAccess
    from projection.lang.run.executors import Execution
    from projection.model.settings import Settings


async def deployed_anew(settings: Settings, access: LaneAccess) -> Sequence[DeployedView]:
    """What the manifest of the settings says by now, with all programs checked.

    Without a file, these are the view types that the node folds, each by the program and manifest entry that its latest
    build keeps: of the one under way, or else of the one that answers.

    Raises:
        ConfigurationError: the manifest cannot be read, or there is none and the node folds nothing.
        ProgramsInvalidError: with the diagnostics of all programs.
        StorageError: the catalog cannot be read.
    """
    execution = access.node.opener.execution
    recipes = _recipes_kept(access)
    return await asyncio.to_thread(_deployed, settings, recipes, execution)


def _recipes_kept(access: LaneAccess) -> list[Recipe]:
    folded = {lane.view_type for lane in access.roster.lanes if access.roster.paused.get(lane.view_type) != LEFT_OUT}
    builds = [access.catalog.candidate(one) or access.catalog.require(one) for one in sorted(folded)]
    return [Recipe.decode(build.recipe) for build in builds]


def _deployed(settings: Settings, recipes: list[Recipe], execution: Execution) -> Sequence[DeployedView]:
    path = settings.manifest
    try:
        is_a_file = is_there(path)
    except OSError as error:
        raise ConfigurationError(f"the manifest {path} cannot be read: {error.strerror}") from None
    if is_a_file:
        return load_deployment(Manifest.load(path), settings.tenancy, settings.subjects, execution)
    if not recipes:
        raise ConfigurationError(
            f"there is no manifest at {path.absolute()}, and the node folds nothing",
            hint="write one there, or deploy another one: `projection deploy --manifest FILE`",
        )
    return deployed_together(recipes, execution)
