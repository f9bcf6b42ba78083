"""What `projection query --at` folds: one view, or all of a view type, of a data folder or of a file of events."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from projection.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from projection.cli.query_sources import Source
    from projection.client.answers import PastView as Answer
    from projection.engine.deployment import DeployedView
    from projection.history.past import PastView
    from projection.history.past_builds import Answering, PastBuild
    from projection.model.ids import TenantId, ViewType
    from projection.model.settings import Settings
    from projection.store.backups import Backups


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


@contextmanager
def past_views(
    view_type: str,
    moment: str,
    tenant: str | None,
    events: Path | None,
    manifest: Path | None,
    storage: Path | None,
    config: Path | None,
    *,
    backup: Path | None,
    bucket: str | None,
    from_start: bool,
) -> Iterator[Source]:
    """The views of a tenant as they were; at the end of the block, it is told what they were folded from.

    Raises:
        QueryError: it is not answered; says why.
        ConfigurationError: there is no such file, folder or view type, or no backup fits.
        ProjectionError: the log, the folder or the backup cannot be read.
    """
    import asyncio
    from pathlib import Path

    from projection.cli.console import note, progress
    from projection.cli.history import opened_log
    from projection.cli.query_sources import folder_source, whose_views
    from projection.engine.replayed import queries_of
    from projection.history.past import read_moment
    from projection.history.past_builds import past_build, past_of_file
    from projection.model.ids import ViewType
    from projection.model.settings import Settings

    settings = Settings.load(config, {"manifest": manifest, "storage": storage})
    whose, wanted = whose_views(tenant, settings), read_moment(moment)
    try:
        named = ViewType(view_type)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None

    async def folded(folder: Path) -> PastBuild:
        with progress("folding", None) as advance:
            if events is not None:
                deployed = _of_manifest(settings, named)
                async with opened_log(events, [deployed], settings, "past") as log:
                    return await past_of_file(log, deployed, wanted, lambda fold: advance(fold.events))
            answers = _answering(settings, named)
            place: AbstractContextManager[tuple[Backups, list[str]] | None] = nullcontext()
            if not from_start:
                place = _backups(backup, bucket, settings)
            with place as backups:
                async with opened_log(None, [], settings, "past") as log:
                    return await past_build(
                        log, answers, wanted, folder, backups=backups, read=lambda fold: advance(fold.events)
                    )

    with TemporaryDirectory(prefix="projection-past-") as folder:
        found = asyncio.run(folded(Path(folder)))
        with found.store, queries_of([(found.build, found.store)], settings.query) as queries:
            yield folder_source(queries, whose)
        whence = f" from backup {found.backup}, at event {found.behind:,}" if found.backup else " from the first event"
        read = f"{found.events:,} event{'' if found.events == 1 else 's'}"
        note(f"note: as of event {found.sequence:,}, folded{whence}: {read} read")


@contextmanager
def _backups(path: Path | None, bucket: str | None, settings: Settings) -> Iterator[tuple[Backups, list[str]]]:
    """Where backups are, and which may be taken: all, or the one that is named.

    Raises:
        ConfigurationError: there is no such place, or no such backup.
        StorageError: the place cannot be read.
    """
    from projection.cli.connection import nats_connection
    from projection.engine.backup_place import Place
    from projection.store.backup_directory import BackupDirectory

    if path is None and bucket is None:
        path, bucket = settings.backup.directory, settings.backup.object_store
    if bucket is not None:
        with Place.of(None, bucket, nats_connection(settings.nats)).opened() as backups:
            names = backups.names()
            if path is not None and str(path) not in names:
                raise ConfigurationError(
                    f"there is no backup {path} in {backups}",
                    hint=f"`projection backup --object-store {bucket} --list` shows those that are there",
                )
            yield backups, names if path is None else [str(path)]
        return
    if path is None:
        raise ConfigurationError(
            "all views of a view type are folded on from a backup, and no place for backups is named",
            hint="name a directory with --backup or a bucket with --object-store, fold the whole log with "
            "--from-start, or ask for one view with --id",
        )
    directory, name = BackupDirectory.of(path)
    if name is not None and directory.folder(name) == path.absolute():
        yield directory, [name]
    else:
        yield directory, directory.names()


def _answering(settings: Settings, view_type: ViewType) -> Answering:
    from projection.engine.recipes import deployed_by
    from projection.history.past_builds import Answering
    from projection.store.catalog import CatalogReader
    from projection.store.lmdb_reader import LmdbViewReader

    with CatalogReader.open(settings.storage) as catalog:
        build = catalog.require(view_type)
    with LmdbViewReader.open(build.lane_path()) as reader:
        return Answering(build, deployed_by(build), reader.position())


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
