"""`projection backup`: a consistent copy of a data folder, while a node writes to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from projection.cli.console import note, print_json, progress, say
from projection.cli.options import Config, ObjectStore, Reason, Storage
from projection.cli.parameters import Argument, Option
from projection.errors import ConfigurationError

if TYPE_CHECKING:
    from projection.engine.backup_place import Place
    from projection.engine.outcomes import BackupCame

EXAMPLES = (
    "projection backup /backups",
    "projection backup /backups --keep 14",
    "projection backup /backups --list",
    "projection backup --object-store backups",
)


def backup(
    directory: Annotated[
        Path | None,
        Argument(help="The directory of backups, one folder each (default: the settings' backup.directory)."),
    ] = None,
    *,
    object_store: ObjectStore = None,
    keep: Annotated[
        int | None, Option(metavar="N", min=1, help="Delete all but the newest N (default: the settings' backup.keep).")
    ] = None,
    list_: Annotated[bool, Option("--list", help="Write nothing; list the existing backups.")] = False,
    json: Annotated[bool, Option("--json", help="One JSON object for each backup.")] = False,
    reason: Reason = "",
    storage: Storage = None,
    config: Config = None,
) -> None:
    """Back up a data folder, while a node runs or not.

    A backup contains a consistent snapshot of each build, and the catalog with its decisions. A running node and its
    queries go on. A build that has not changed since an earlier backup there is not copied again. Each file has a
    checksum, which `projection verify --backup` and `projection restore` compare. A backup that is killed or fails does
    not change earlier ones.
    """
    from projection.cli.connection import nats_connection
    from projection.cli.door import door_to, whoever
    from projection.engine.backup_place import Place
    from projection.engine.orders import BackupOrder
    from projection.model.settings import Settings

    settings = Settings.load(config, {"storage": storage})
    is_named = directory is not None or object_store is not None
    if not is_named:
        directory, object_store = settings.backup.directory, settings.backup.object_store
    connection = nats_connection(settings.nats)
    if list_:
        _list(Place.of(directory, object_store, connection), as_json=json)
        return
    order = BackupOrder(
        by=whoever(),
        reason=reason,
        directory=None if directory is None else str(directory.absolute()),
        object_store=object_store,
        keep=keep or (None if is_named else settings.backup.keep),
    )
    with door_to(settings.storage) as door, progress("copying", None, "KiB") as advance:
        came = door.backup(order, lambda now: advance(now.bytes >> 10, now.of >> 10), connection)
    _tell(came, as_json=json)


def _tell(came: BackupCame, *, as_json: bool) -> None:
    from msgspec.structs import asdict

    from projection.cli.tables import size

    for name in came.damaged:
        note(f"warning: the earlier backup {name} is damaged; see `projection verify --backup`")
    if as_json:
        print_json(asdict(came))
        return
    builds = f"{came.builds} build{'' if came.builds == 1 else 's'}"
    say(f"backed up {builds} to {came.at}: {size(came.bytes)}, of which {size(came.copied)} are new")
    if came.deleted:
        say(f"deleted {len(came.deleted)} older: {', '.join(came.deleted)}")


def _list(place: Place, *, as_json: bool) -> None:
    from projection.cli.tables import print_table
    from projection.engine.backup import described

    rows: list[tuple[object, ...]] = []
    with place.opened() as backups:
        if not (names := backups.names()):
            raise ConfigurationError(f"there is no backup in {place}", hint="`projection backup` writes one")
        for name in names:
            about = described(backups, name)
            if as_json:
                print_json({"backup": name, "about": about})
            elif about is None:
                rows.append((name, "-", "-", "it cannot be read"))
            else:
                shown = ", ".join(f"{one.view_type} {one.build}" for one in about.builds if one.answers)
                rows.append((name, len(about.builds), max((one.scanned for one in about.builds), default=0), shown))
    if not as_json:
        print_table(("backup", "builds", "at", "answering builds"), rows, last_folds=True)
