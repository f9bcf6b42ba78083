"""What a node deploys when its manifest is read anew: the file, or what was deployed last where there is none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

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
    from projection.store.catalog_reading import CatalogReading


async def deployed_anew(settings: Settings, access: LaneAccess) -> Sequence[DeployedView]:
    """What the manifest of the settings says by now, with all programs checked.

    Without a file, what was deployed last goes on: each view type by the program and manifest entry that its latest
    build keeps, the one under way, or else the one that answers.

    Raises:
        ConfigurationError: the manifest cannot be read, or there is none and nothing has been deployed yet.
        ProgramsInvalidError: with the diagnostics of all programs.
        StorageError: the catalog cannot be read.
    """
    execution = access.node.opener.execution
    recipes = recipes_kept(access.catalog)
    return await asyncio.to_thread(manifest_or_kept, settings, recipes, execution)


def recipes_kept(catalog: CatalogReading) -> list[Recipe]:
    """What was deployed last: of each view type, what its latest build keeps.

    Raises:
        StorageError: the catalog cannot be read.
    """
    builds = [catalog.candidate(one) or catalog.require(one) for one in catalog.deployed()]
    return [Recipe.decode(build.recipe) for build in builds]


def manifest_or_kept(
    settings: Settings, recipes: list[Recipe], execution: Execution, *, as_deployed: bool = False
) -> Sequence[DeployedView]:
    """What the manifest of the settings says; without a file, or `as_deployed`, what was deployed last.

    Raises:
        ConfigurationError: the manifest cannot be read, or there is none and nothing was deployed.
        ProgramsInvalidError: with the diagnostics of all programs.
    """
    if as_deployed and recipes:
        return deployed_together(recipes, execution)
    path = settings.manifest
    if has_manifest(settings):
        return load_deployment(Manifest.load(path), settings.tenancy, settings.subjects, execution)
    if not recipes:
        raise ConfigurationError(
            f"there is no manifest at {path.absolute()}, and nothing has been deployed yet",
            hint="write one there, or name another one by --manifest",
        )
    return deployed_together(recipes, execution)


def has_manifest(settings: Settings) -> bool:
    """Whether there is anything where the settings say that the manifest is.

    Raises:
        ConfigurationError: the place cannot be looked at.
    """
    try:
        return is_there(settings.manifest)
    except OSError as error:
        raise ConfigurationError(f"the manifest {settings.manifest} cannot be read: {error.strerror}") from None
