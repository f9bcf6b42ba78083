"""`projection pause`, `resume`, `rebuild`, `promote`, `rollback`, `retire` and `audit`: orders to a node."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from projection.cli.console import print_json, say
from projection.cli.options import AlthoughParked, Config, ObjectStore, Reason, Storage, WhenPromoted
from projection.cli.parameters import Argument, Option
from projection.lang.printable import printable

if TYPE_CHECKING:
    from projection.engine.orders import Order
    from projection.store.audit import AuditRecord

EXAMPLES_OF_PAUSE = ('projection pause shop_orders --reason "the orders service is being moved"',)
EXAMPLES_OF_RESUME = ("projection resume shop_orders",)
EXAMPLES_OF_REBUILD = (
    "projection rebuild shop_orders",
    "projection rebuild shop_orders --promote when_equal",
    "projection rebuild shop_orders --from /backups",
    "projection rebuild shop_orders --object-store backups",
)
EXAMPLES_OF_PROMOTE = ("projection promote shop_orders", "projection promote shop_orders --although-parked")
EXAMPLES_OF_ROLLBACK = ('projection rollback shop_orders --reason "amounts are wrong"',)
EXAMPLES_OF_RETIRE = ("projection retire shop_orders", "projection retire shop_orders 3")
EXAMPLES_OF_AUDIT = ("projection audit", "projection audit --limit 20 --json")

_ViewType = Annotated[str, Argument(help="The view type, as the manifest names it.")]


def pause(view_type: _ViewType, *, reason: Reason = "", storage: Storage = None, config: Config = None) -> None:
    """Stop folding a view type until it is resumed.

    Its views are served as they are. It stays paused after a restart. A node may be running on the data folder.
    """
    from projection.cli.door import door_to

    with door_to(_data(config, storage)) as door:
        door.pause(_order(view_type, reason))
    say(f"view type {view_type} is paused")


def resume(view_type: _ViewType, *, reason: Reason = "", storage: Storage = None, config: Config = None) -> None:
    """Resume a view type that was paused or has halted.

    If the cause of a halt is still there, it halts again. A node may be running on the data folder.
    """
    from projection.cli.door import door_to

    with door_to(_data(config, storage)) as door:
        door.resume(_order(view_type, reason))
    say(f"view type {view_type} goes on")


def rebuild(
    view_type: _ViewType,
    *,
    from_: Annotated[
        str | None,
        Option("--from", metavar="BACKUP", help="Start from a backup, if the log has lost its start."),
    ] = None,
    object_store: ObjectStore = None,
    promote: WhenPromoted = None,
    although_parked: AlthoughParked = False,
    reason: Reason = "",
    storage: Storage = None,
    config: Config = None,
) -> None:
    """Rebuild a view type while the former build answers.

    The new build starts at the first event, and replaces the former one once it has caught up. A node that is running
    on the data folder starts at once, otherwise at its next start. With --from, the new build starts from a backup of
    the same fold: the newest one if a directory of backups is named. With --object-store, the backup is in that bucket:
    the newest one unless --from names another.
    """
    from projection.cli.connection import nats_connection
    from projection.cli.door import door_to, whoever
    from projection.engine.orders import RebuildOrder
    from projection.model.settings import Settings

    settings = Settings.load(config, {"storage": storage})
    order = RebuildOrder(
        view_type=view_type,
        by=whoever(),
        reason=reason,
        promote=None if promote is None else promote.value,
        although_parked=although_parked,
        backup=str(Path(from_).absolute()) if from_ is not None and object_store is None else from_,
        object_store=object_store,
    )
    with door_to(settings.storage) as door:
        came = door.rebuild(order, lambda: nats_connection(settings.nats))
    say(
        f"build {came.build} of view type {came.view_type} is being folded; `projection builds list` shows its progress"
    )


def promote(
    view_type: _ViewType,
    number: Annotated[int | None, Argument(help="The build (default: the one that waits).", min=1)] = None,
    *,
    although_parked: AlthoughParked = False,
    accept_fewer_messages: Annotated[
        bool,
        Option("--accept-fewer-messages", help="Even if the build has seen fewer messages than the one that answers."),
    ] = False,
    reason: Reason = "",
    storage: Storage = None,
    config: Config = None,
) -> None:
    """Let a build answer that waits, or that was rolled back.

    If the build has not caught up, it answers as soon as it has. A node may be running on the data folder; without one,
    it happens at the next start.
    """
    from projection.cli.door import door_to, whoever
    from projection.engine.orders import PromoteOrder

    order = PromoteOrder(
        view_type=view_type,
        by=whoever(),
        reason=reason,
        build=number,
        although_parked=although_parked,
        accept_fewer_messages=accept_fewer_messages,
    )
    with door_to(_data(config, storage)) as door:
        came = door.promote(order)
    if came.answers:
        say(f"build {came.build} of view type {came.view_type} answers")
    else:
        say(f"build {came.build} of view type {came.view_type} answers once it has caught up")


def rollback(view_type: _ViewType, *, reason: Reason = "", storage: Storage = None, config: Config = None) -> None:
    """Go back to the build that answered before.

    That build was still folded, so nothing is lost. The other build is folded from then on as well, and answers again
    only if it is promoted. A node may be running on the data folder.
    """
    from projection.cli.door import door_to

    with door_to(_data(config, storage)) as door:
        came = door.rollback(_order(view_type, reason))
    say(
        f"build {came.build} of view type {came.view_type} answers again; `projection promote {came.view_type}` has "
        f"build {came.former_build} answer"
    )


def retire(
    view_type: _ViewType,
    number: Annotated[int | None, Argument(help="The build (default: the one that follows).", min=1)] = None,
    *,
    reason: Reason = "",
    storage: Storage = None,
    config: Config = None,
) -> None:
    """Stop folding the build that follows.

    After that, `projection rollback` cannot go back to it in one step. It stays on the disk; `projection builds delete`
    deletes it. A node may be running on the data folder.
    """
    from projection.cli.door import door_to, whoever
    from projection.engine.orders import RetireOrder

    order = RetireOrder(view_type=view_type, by=whoever(), reason=reason, build=number)
    with door_to(_data(config, storage)) as door:
        came = door.retire(order)
    say(f"build {came.build} of view type {came.view_type} is folded no longer")


def audit(
    *,
    limit: Annotated[int, Option(metavar="N", min=1, help="The last N records.")] = 50,
    json: Annotated[bool, Option("--json", help="One JSON object per line.")] = False,
    storage: Storage = None,
    config: Config = None,
) -> None:
    """List what operators have done, the oldest first.

    Each record says when, who, through which door, what and why. Works while a node runs.
    """
    from projection.store.catalog import CatalogReader

    with CatalogReader.open(_data(config, storage)) as catalog:
        found = catalog.audit()[-limit:]
    if json:
        for one in found:
            print_json(one.as_json())
        return
    for one in found:
        say(printable(_told(one)))
    if not found:
        say("nothing has been done yet")


def _told(one: AuditRecord) -> str:
    details = ", ".join(f"{name} {value}" for name, value in one.details.items() if value is not None)
    what = f"{one.operation} {one.view_type}".rstrip()  # some concern the whole folder
    told = f"{one.at[:19]}Z  {what}{f' ({details})' if details else ''}"
    reason = f": {one.author.reason}" if one.author.reason else ""
    return f"{told}, by {one.author.name} ({one.author.door}){reason}"


def _data(config: Path | None, storage: Path | None) -> Path:
    from projection.model.settings import Settings

    return Settings.load(config, {"storage": storage}).storage


def _order(view_type: str, reason: str) -> Order:
    from projection.cli.door import whoever
    from projection.engine.orders import Order

    return Order(view_type=view_type, by=whoever(), reason=reason)
