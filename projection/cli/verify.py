"""`projection verify`: whether stores hold what their commits left in them, and whether two data folders are equal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from projection.cli.console import note, print_json
from projection.cli.options import Config, ObjectStore, Storage
from projection.cli.parameters import Argument, Exit, Option
from projection.errors import EXIT_FAILED, ConfigurationError, StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from projection.engine.outcomes import VerifiedBuild

EXAMPLES = (
    "projection verify",
    "projection verify shop_orders --json",
    "projection verify --against /mnt/other-node/data",
    "projection verify --backup /backups",
)


def verify(
    view_type: Annotated[str | None, Argument(help="One view type (default: all).")] = None,
    *,
    against: Annotated[
        Path | None, Option(metavar="DIR", help="Another data folder, which should contain the same.")
    ] = None,
    backup: Annotated[
        Path | None,
        Option(metavar="BACKUP", help="A backup, or a directory of backups, to check instead of the data folder."),
    ] = None,
    object_store: ObjectStore = None,
    json: Annotated[bool, Option("--json", help="One JSON object for each view type, or for each backup.")] = False,
    storage: Storage = None,
    config: Config = None,
) -> None:
    """Check that the stored data is what the commits wrote.

    State digests and index entries are recomputed and compared. With --against, also with another folder: builds with
    the same fold identity and position must be equal. Works while nodes run. With --backup, a backup is checked
    instead: its files against their checksums, and its stores; with --object-store, all backups there, by their files.
    Ends with 1 if anything is wrong.
    """
    if backup is not None or object_store is not None:
        _verify_backups(backup, object_store, config, as_json=json)
        return
    from projection.engine import verification
    from projection.engine.outcomes import VerifiedBuild
    from projection.model.ids import ViewType
    from projection.model.settings import Settings

    settings = Settings.load(config, {"storage": storage})
    try:
        wanted = None if view_type is None else [ViewType(view_type)]
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    try:
        found = verification.verify(settings.storage, wanted)
    except StorageError:
        if against is not None or (told := _told_by_node(settings.storage, view_type)) is None:
            raise
        _tell(told, {one.view_type: one.problems for one in told}, as_json=json)
        return
    others = {} if against is None else {one.build.view_type: one for one in verification.verify(against, wanted)}
    problems = {str(one.build.view_type): list(one.problems) for one in found}
    if against is not None:
        for one in found:
            if (other := others.pop(one.build.view_type, None)) is None:
                problems[one.build.view_type].append(f"{against} has no such view type")
            else:
                problems[one.build.view_type] += [f"in {against}, {text}" for text in other.problems]
                problems[one.build.view_type] += verification.differences(one, other)
        problems |= {str(name): [f"{settings.storage} has no such view type"] for name in others}
    _tell([VerifiedBuild.of(one) for one in found], problems, as_json=json)


def _told_by_node(data: Path, view_type: str | None) -> list[VerifiedBuild] | None:
    """What the node says that has the folder, where it is in another container; None where none listens."""
    from projection.cli.door import running_node, whoever
    from projection.engine.orders import VerifyOrder

    with running_node(data) as node:
        if node is None:
            return None
        return node.verify(VerifyOrder(by=whoever(), view_types=None if view_type is None else [view_type])).builds


def _tell(found: list[VerifiedBuild], problems: Mapping[str, list[str]], *, as_json: bool) -> None:
    if as_json:
        for one in found:
            print_json(_as_json(one, problems[one.view_type]))
    else:
        _print_table(found)
    for name, texts in problems.items():
        for text in texts:
            note(f"error: view type {name}: {text}")
    for one in found:
        if one.problems:
            note(f"  hint: `projection repair {one.view_type}` folds it from the stream and corrects the differences")
    if any(problems.values()):
        raise Exit(EXIT_FAILED)


def _verify_backups(path: Path | None, bucket: str | None, config: Path | None, *, as_json: bool) -> None:
    from projection.cli.connection import nats_connection
    from projection.cli.tables import print_table, size
    from projection.engine.backup_place import Place
    from projection.engine.restoring import verify_backup
    from projection.model.settings import Settings
    from projection.store.backup_directory import BackupDirectory

    one_of = None
    if path is not None and bucket is None:
        directory, name = BackupDirectory.of(path)
        if name is not None and directory.folder(name) == path.absolute():
            path, one_of = path.absolute().parent, name
    with Place.of(path, bucket, nats_connection(Settings.load(config).nats)).opened() as backups:
        names = backups.names() if one_of is None else [one_of]
        found = [verify_backup(backups, one) for one in names]
    if not found:
        raise ConfigurationError(f"there is no backup in {bucket or path}", hint="`projection backup` writes one")
    if as_json:
        for one in found:
            print_json({"backup": one.name, "bytes": one.bytes, "problems": one.problems})
    else:
        rows = [
            (one.name, "-" if one.about is None else len(one.about.builds), size(one.bytes), len(one.problems) or "-")
            for one in found
        ]
        print_table(("backup", "builds", "size", "problems"), rows)
    for one in found:
        for text in one.problems:
            note(f"error: backup {one.name}: {text}")
    if any(one.problems for one in found):
        raise Exit(EXIT_FAILED)


def _as_json(one: VerifiedBuild, problems: list[str]) -> dict[str, Any]:
    known = {name: getattr(one, name) for name in one.__struct_fields__ if name != "problems"}
    return {name: value for name, value in known.items() if value is not None} | {"problems": problems}


def _print_table(found: list[VerifiedBuild]) -> None:
    from projection.cli.tables import print_table

    rows = [
        (one.view_type, one.build, one.applied, one.views, one.parked, one.digest[:16])
        for one in found
        if one.digest is not None
    ]
    print_table(("view type", "build", "event", "views", "parked", "digest begins"), rows)
