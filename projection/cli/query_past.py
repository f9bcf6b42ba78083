"""What `projection query --at` folds: a view of a data folder from the stream, or one of a file of events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projection.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from projection.client.answers import PastView as Answer
    from projection.engine.deployment import DeployedView
    from projection.history.past import PastView
    from projection.model.ids import TenantId, ViewType
    from projection.model.settings import Settings


def local_view_at(
    view_type: str,
    view_id: str,
    moment: str,
    tenant: str | None,
    events: Path | None,
    manifest: Path | None,
    storage: Path | None,
    config: Path | None,
) -> Answer:
    """One view as it was, folded here: from a file, or from the stream as the build of a data folder folds it.

    Raises:
        QueryError: it is not answered; says why.
        ConfigurationError: there is no such file, folder or view type.
        ProjectionError: the log, or the folder, cannot be read.
    """
    import asyncio

    from projection.cli.history import opened_log
    from projection.cli.query_sources import whose_views
    from projection.client.answers import PastView as Answer
    from projection.client.answers import decoded
    from projection.history.past import past_view, read_moment
    from projection.history.past_views import missing
    from projection.model.ids import ViewId, ViewType
    from projection.model.settings import Settings

    settings = Settings.load(config, {"manifest": manifest, "storage": storage})
    whose, wanted = whose_views(tenant, settings), read_moment(moment)
    try:
        named, one = ViewType(view_type), ViewId(view_id)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    if events is None:
        deployed, known = _stored(settings, named, whose)
    else:
        deployed, known = _of_manifest(settings, named), {}

    async def folded() -> PastView:
        async with opened_log(events, [deployed], settings, "past") as log:
            return await past_view(log, deployed, whose, one, wanted, **known)

    found = asyncio.run(folded())
    if found.view is None:
        raise missing(named, one, found)
    return Answer(
        build=known["build"].number if known else 0,
        program=deployed.program.digest,
        at=found.sequence,
        events=found.events,
        id=view_id,
        view=decoded(found.view, dict[str, Any]),
        degraded=found.degraded,
        incomplete=found.incomplete,
    )


def _stored(settings: Settings, view_type: ViewType, tenant_id: TenantId) -> tuple[DeployedView, dict[str, Any]]:
    """What the build that answers in a data folder is folded by, and what it says of a tenant."""
    from projection.engine.recipes import deployed_by
    from projection.history.past import known_of
    from projection.store.catalog import CatalogReader
    from projection.store.lmdb_reader import LmdbViewReader

    with CatalogReader.open(settings.storage) as catalog:
        build = catalog.require(view_type)
    with LmdbViewReader.open(build.lane_path()) as reader:
        return deployed_by(build), {"build": build, "known": known_of(reader, tenant_id)}


def _of_manifest(settings: Settings, view_type: ViewType) -> DeployedView:
    from projection.engine.deployment import load_deployment
    from projection.model.manifest import Manifest

    found = {
        one.entry.view_type: one
        for one in load_deployment(Manifest.load(settings.manifest), settings.tenancy, settings.subjects)
    }
    if view_type not in found:
        raise ConfigurationError(
            f"there is no view type {str(view_type)!r}", hint=f"there are: {', '.join(sorted(found))}"
        )
    return found[view_type]
