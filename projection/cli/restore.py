"""`projection restore`: a data folder out of a backup."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from projection.cli.console import note, print_json, progress, say
from projection.cli.options import Config, ManifestFile, NatsUrl, ObjectStore, Reason, Stream
from projection.cli.parameters import Argument, Option
from projection.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from projection.engine.deployment import DeployedView
    from projection.model.checkpoint import LanePosition
    from projection.model.settings import Settings
    from projection.store.backups import Backups

EXAMPLES = (
    "projection restore /backups --storage data",
    "projection restore /backups/20261130T030000.125Z --storage data",
    "projection restore /backups --storage elsewhere --offline --any-program",
    "projection restore --object-store backups --storage data",
)


def restore(
    backup: Annotated[
        str | None,
        Argument(help="A backup, or a directory, for its newest backup; with --object-store, the name of a backup."),
    ] = None,
    *,
    object_store: ObjectStore = None,
    storage: Annotated[
        Path | None,
        Option("--storage", "--data", metavar="DIR", help="The data folder to create (default: that of the settings)."),
    ] = None,
    manifest: ManifestFile = None,
    stream: Stream = None,
    url: NatsUrl = None,
    offline: Annotated[
        bool, Option("--offline", help="Do not check with the server whether the stream is the one that was read.")
    ] = False,
    any_program: Annotated[
        bool, Option("--any-program", help="Also restore view types that the manifest now folds differently.")
    ] = False,
    json: Annotated[bool, Option("--json", help="One JSON object.")] = False,
    reason: Reason = "",
    config: Config = None,
) -> None:
    """Create a data folder from a backup.

    A node that is started there continues from the position of the backup. The folder must not exist yet, or be empty.
    All checksums and state digests are compared, and so are the stream and the programs of the manifest, if there is
    one. A restore that is killed leaves a folder that no node accepts: run it again. The folder gets its own node name.
    """
    from projection.cli.door import whoever
    from projection.engine.restoring import restore as restored
    from projection.model.settings import Settings
    from projection.store.audit import Author

    options = {"storage": storage, "manifest": manifest, "stream": stream, "nats.url": url}
    settings = Settings.load(config, options)
    with _opened(backup, object_store, settings) as (backups, name), progress("restoring", None, "KiB") as advance:
        came = restored(
            backups,
            name,
            settings.storage,
            Author(whoever(), "offline", reason),
            deployed=() if any_program else _deployed(settings, is_named=manifest is not None),
            stream=settings.stream,
            accept=None if offline else _asking(settings),
            on_progress=lambda done: advance(done >> 10),
        )
    if json:
        print_json({"backup": came.name, "began": came.began, "builds": came.builds, "bytes": came.bytes})
        return
    builds = f"{came.builds} build{'' if came.builds == 1 else 's'}"
    say(f"restored {builds} of backup {came.name} to {settings.storage}: a node that starts there continues from it")


@contextmanager
def _opened(backup: str | None, bucket: str | None, settings: Settings) -> Iterator[tuple[Backups, str]]:
    """Where the backup is that is named, and its name."""
    from projection.cli.connection import nats_connection
    from projection.engine.backup_place import BackupSource

    if bucket is None and backup is None:
        raise ConfigurationError(
            "no backup is named",
            hint="`projection restore BACKUP`, where BACKUP is a backup or a directory of backups",
        )
    connection = None if bucket is None else nats_connection(settings.nats)
    with BackupSource(backup, bucket, connection).opened() as found:
        yield found


def _deployed(settings: Settings, *, is_named: bool) -> Sequence[DeployedView]:
    from projection.engine.deployment import load_deployment
    from projection.model.manifest import Manifest

    if not settings.manifest.exists():
        if is_named:
            raise ConfigurationError(
                f"there is no manifest at {settings.manifest}", hint="name another one, or say --any-program"
            )
        note(f"note: there is no manifest at {settings.manifest}, so the programs are not compared")
        return ()
    return load_deployment(Manifest.load(settings.manifest), settings.tenancy, settings.subjects)


def _asking(settings: Settings) -> Callable[[list[LanePosition]], None]:
    """Asks the server whether its stream is the log of these positions."""
    import asyncio

    from projection.errors import StreamError, StreamIdentityError

    def ask(positions: list[LanePosition]) -> None:
        try:
            asyncio.run(_ask(settings, positions))
        except StreamIdentityError as error:
            hint = "name the stream that was read; --offline restores the views anyway, for reading"
            raise StreamIdentityError(error.message, hint=hint) from None
        except StreamError as error:
            hint = f"{error.hint}; or restore with --offline" if error.hint else "restore with --offline"
            raise type(error)(error.message, hint=hint, code=error.code) from None

    return ask


async def _ask(settings: Settings, positions: list[LanePosition]) -> None:
    from projection.cli.connection import nats_connection
    from projection.stream.connection import Nats
    from projection.stream.feed import JetStreamFeed
    from projection.stream.opening import FeedLimits

    async with await Nats.connect(nats_connection(settings.nats)) as nats:
        for position in positions:
            feed = JetStreamFeed(
                nats,
                stream=settings.stream,
                consumer="restore",
                subjects=[">"],
                position=position,
                limits=FeedLimits(),
            )
            await feed.check(position)
