"""`projection compact`: the free pages of stores given back to the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from projection.cli.console import note, print_json, progress
from projection.cli.options import Config, Reason, Storage
from projection.cli.parameters import Argument, Exit, Option
from projection.errors import EXIT_FAILED

if TYPE_CHECKING:
    from projection.engine.outcomes import CompactCame

EXAMPLES = ("projection compact", "projection compact shop_orders")


def compact(
    view_type: Annotated[str | None, Argument(help="The view type whose builds are compacted (default: all).")] = None,
    *,
    reason: Reason = "",
    json: Annotated[bool, Option("--json", help="One JSON object for each build.")] = False,
    storage: Storage = None,
    config: Config = None,
) -> None:
    """Return free pages of stores to the file system.

    `projection builds list` shows about how much that is. A node may be running on the data folder: it continues to
    fold and answer. Compaction needs no free disk space. Exit status: 0 all were compacted, 1 a store is damaged.
    """
    from projection.cli.door import door_to, whoever
    from projection.engine.orders import CompactOrder
    from projection.model.settings import Settings

    order = CompactOrder(view_type=view_type, by=whoever(), reason=reason)
    data = Settings.load(config, {"storage": storage}).storage
    with door_to(data) as door, progress("giving back", None, "KiB") as advance:
        came = door.compact(order, lambda now: advance(now.bytes >> 10, now.of >> 10))
    _tell(came, as_json=json)


def _tell(came: CompactCame, *, as_json: bool) -> None:
    from msgspec.structs import asdict

    from projection.cli.tables import print_table, size

    if as_json:
        for one in came.builds:
            print_json(asdict(one))
    else:
        print_table(
            ("view type", "build", "before", "after"),
            [(one.view_type, one.build, size(one.before), size(one.after)) for one in came.builds],
        )
    for one in came.builds:
        if one.problem is not None:
            note(f"warning: build {one.build} of view type {one.view_type} was passed over: {one.problem}")
    if any(one.problem is not None for one in came.builds):
        raise Exit(EXIT_FAILED)
