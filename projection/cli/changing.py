"""`projection pause`, `resume`, `rebuild` and `audit`: orders to a node, and what was ordered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from projection.cli.console import print_json, say
from projection.cli.options import Config, Reason, Storage
from projection.cli.parameters import Argument, Option
from projection.lang.printable import printable

if TYPE_CHECKING:
    from pathlib import Path

    from projection.engine.orders import Order
    from projection.store.audit import AuditRecord

EXAMPLES_OF_PAUSE = ('projection pause shop_orders --reason "the orders service is being moved"',)
EXAMPLES_OF_RESUME = ("projection resume shop_orders",)
EXAMPLES_OF_REBUILD = ("projection rebuild shop_orders",)
EXAMPLES_OF_AUDIT = ("projection audit", "projection audit --limit 20 --json")

_ViewType = Annotated[str, Argument(help="The view type, as the manifest names it.")]


def pause(view_type: _ViewType, *, reason: Reason = "", storage: Storage = None, config: Config = None) -> None:
    """Fold nothing for a view type until it is resumed, over restarts as well; its views are served as they are.

    A node may be running on the data folder.
    """
    from projection.cli.door import door_to

    with door_to(_data(config, storage)) as door:
        door.pause(_order(view_type, reason))
    say(f"view type {view_type} is paused")


def resume(view_type: _ViewType, *, reason: Reason = "", storage: Storage = None, config: Config = None) -> None:
    """Go on with a view type that was paused, or that has halted.

    Where the reason of a halt is still there, it halts again. A node may be running on the data folder.
    """
    from projection.cli.door import door_to

    with door_to(_data(config, storage)) as door:
        door.resume(_order(view_type, reason))
    say(f"view type {view_type} goes on")


def rebuild(view_type: _ViewType, *, reason: Reason = "", storage: Storage = None, config: Config = None) -> None:
    """Fold a view type anew, from its start; the former build answers until the new one has caught up.

    A node that is running on the data folder begins at once; else the next start does.
    """
    from projection.cli.door import door_to

    with door_to(_data(config, storage)) as door:
        came = door.rebuild(_order(view_type, reason))
    say(f"build {came.build} of view type {came.view_type} is under way; `projection builds list` shows how far it is")


def audit(
    *,
    limit: Annotated[int, Option(metavar="N", min=1, help="The last N records.")] = 50,
    json: Annotated[bool, Option("--json", help="One JSON object a line.")] = False,
    storage: Storage = None,
    config: Config = None,
) -> None:
    """List what operators have done, the oldest first: when, who, what and why.

    Reads while a node writes.
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
        say("nothing was done yet")


def _told(one: AuditRecord) -> str:
    details = ", ".join(f"{name} {value}" for name, value in one.details.items() if value is not None)
    told = f"{one.at[:19]}Z  {one.operation} {one.view_type}{f' ({details})' if details else ''}"
    reason = f": {one.author.reason}" if one.author.reason else ""
    return f"{told}, by {one.author.name} ({one.author.door}){reason}"


def _data(config: Path | None, storage: Path | None) -> Path:
    from projection.model.settings import Settings

    return Settings.load(config, {"storage": storage}).storage


def _order(view_type: str, reason: str) -> Order:
    from projection.cli.door import whoever
    from projection.engine.orders import Order

    return Order(view_type=view_type, by=whoever(), reason=reason)
