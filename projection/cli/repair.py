"""`projection repair`: a view, or the views of one tenant, folded anew, and put right where they are otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from projection.cli.console import note, print_json, say
from projection.cli.options import Config, NatsUrl, Reason, Storage, Stream
from projection.cli.parameters import Argument, Exit, Option
from projection.errors import EXIT_FAILED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from projection.engine.outcomes import RepairCame, ViewDiffered

EXAMPLES = (
    "projection repair shop_orders --id O000001 --tenant north --dry-run",
    "projection repair shop_orders --id O000001 --tenant north",
    'projection repair shop_orders --reason "the disk was replaced"',
    "projection repair shop_orders",
)


def repair(
    view_type: Annotated[str, Argument(help="The view type, as the manifest names it.")],
    *,
    id_: Annotated[str | None, Option("--id", metavar="ID", help="One view (default: all of the tenant).")] = None,
    tenant: Annotated[
        str | None, Option(metavar="TENANT", help="The tenant (default: with --id the default tenant, without it all).")
    ] = None,
    dry_run: Annotated[bool, Option("--dry-run", help="Write nothing; show what differs.")] = False,
    reason: Reason = "",
    json: Annotated[bool, Option("--json", help="The result as one JSON object.")] = False,
    stream: Stream = None,
    url: NatsUrl = None,
    storage: Storage = None,
    config: Config = None,
) -> None:
    """Fold views again from the stream, and correct differences.

    That is one view, all views of a tenant, or all views. If nothing differs, nothing is written. A node may be running
    on the data folder: its views are served meanwhile. Exit status: 0 nothing is wrong any more, 1 something is: with
    --dry-run something differs, otherwise the build still contains something that it should not. It is also 1 if
    there is no view of that id, neither in the store nor in the log.
    """
    import msgspec

    from projection.cli.door import door_to, whoever
    from projection.cli.show import ViewMissingError
    from projection.engine.orders import RepairOrder
    from projection.lang.printable import printable
    from projection.model.settings import Settings

    settings = Settings.load(config, {"storage": storage, "stream": stream, "nats.url": url})
    order = RepairOrder(
        view_type=view_type,
        by=whoever(),
        reason=reason,
        tenant_id=str(settings.default_tenant) if tenant is None and id_ is not None else tenant,
        view_id=id_,
        dry_run=dry_run,
    )
    with door_to(settings.storage) as door:
        came = door.repair(order, settings)
    if id_ is not None and not came.compared and not _differs(came):
        where = f"neither in build {came.build} nor in the log"
        raise ViewMissingError(
            f"tenant {order.tenant_id!r} has no {view_type} with the id {id_!r}, {where}",
            hint="name another tenant with --tenant, or look for the id with `projection query`",
        )
    if json:
        print_json(msgspec.to_builtins(came))
    else:
        for line in _lines(came):
            say(printable(line))
        if came.sound is False:
            note("note: the build still contains data that is not in its digest; see `projection verify`")
    if came.sound is False or (not came.written and _differs(came)):
        raise Exit(EXIT_FAILED)


def _differs(came: RepairCame) -> bool:
    return any((came.different, came.parked, came.suspended, came.entries))


def _lines(came: RepairCame) -> Iterator[str]:
    for one in came.views:
        yield f"{one.view_id}: {_how(one)}"
    if came.different > len(came.views):
        yield f"… and {came.different - len(came.views):,} more"
    others = {"parked events": came.parked, "suspensions": came.suspended, "entries of indexes": came.entries}
    for what, count in others.items():
        if count:
            yield f"{what} that are missing or should not be there: {count:,}"
    where = f"build {came.build} of view type {came.view_type}, at event {came.scanned:,}"
    told = f"{came.different:,} of {came.compared:,} views differed" if _differs(came) else "nothing differed"
    end = ", and all are correct now" if came.written else ", and nothing was written" if _differs(came) else ""
    yield f"{where}: {told}{end}"


def _how(one: ViewDiffered) -> str:
    if not one.was:
        return "was missing"
    if not one.ought:
        return "should not be there"
    return f"differed in {', '.join(one.fields)}"
