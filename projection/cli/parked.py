"""`projection parked`: the events that views could not take, and what an operator decides about them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from projection.cli.console import counted, note, print_json, say
from projection.cli.options import Config, Reason, Storage
from projection.cli.parameters import Argument, Option
from projection.errors import ConfigurationError, ProjectionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from projection.engine.outcomes import DropCame
    from projection.model.ids import ViewType
    from projection.model.parked import ParkedEvent, Suspension

EXAMPLES = (
    "projection parked list --all-tenants",
    "projection parked show shop_orders 1024",
    "projection parked drop shop_orders 1024 --id O000001",
)
EXAMPLES_OF_LIST = (
    "projection parked list shop_orders --tenant north",
    "projection parked list --all-tenants --code R705 --limit 20",
    "projection parked list --all-tenants --json",
)
EXAMPLES_OF_SHOW = (
    "projection parked show shop_orders 1024",
    "projection parked show shop_orders 1024 --id O000001 --json",
)
EXAMPLES_OF_DROP = (
    "projection parked drop shop_orders 1024 --id O000001",
    "projection parked drop shop_orders 1024 --alone",
)

_ViewType = Annotated[str, Argument(help="The view type, as the manifest names it.")]
_Sequence = Annotated[int, Argument(help="The event's number in the stream.", min=1)]
_Json = Annotated[bool, Option("--json", help="One JSON object per line, with all details.")]


class NotParkedError(ProjectionError):
    """Nothing is parked under what was asked for."""

    error_class = ConfigurationError.error_class
    default_code = "parked.missing"


def parked() -> None:
    """Show parked events, and drop them.

    An event is parked if it cannot be applied to a view, and so are later events of that view, to keep their order.
    """


def list_(
    view_type: Annotated[str | None, Argument(help="One view type (default: all).")] = None,
    *,
    tenant: Annotated[
        str | None, Option(metavar="TENANT", help="The tenant of the events (default: the default tenant).")
    ] = None,
    all_tenants: Annotated[bool, Option("--all-tenants", help="The events of every tenant.")] = False,
    code: Annotated[str | None, Option(metavar="CODE", help="Only those with this code.")] = None,
    limit: Annotated[int | None, Option(metavar="N", min=1, help="At most N events, and N that are suspended.")] = None,
    json: _Json = False,
    storage: Storage = None,
    config: Config = None,
) -> None:
    """List parked events, and those recorded and skipped.

    In the order of view types, tenants, views and the stream. Works while a node runs.
    """
    from projection.model.ids import TenantId, ViewType
    from projection.model.settings import Settings
    from projection.query.reading import parked_events, suspended_in

    if all_tenants and tenant is not None:
        raise ConfigurationError("--all-tenants does not go with --tenant")
    settings = Settings.load(config, {"storage": storage})
    try:
        wanted = None if view_type is None else ViewType(view_type)
        whose = None if all_tenants else TenantId(tenant) if tenant is not None else settings.default_tenant
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    others = False

    def chosen() -> Iterator[ParkedEvent]:
        nonlocal others
        for event in parked_events(settings.storage, wanted):
            if code is not None and event.code != code:
                continue
            if whose is not None and event.tenant_id != whose:
                others = True
                continue
            yield event

    suspended = [one for one in suspended_in(settings.storage, wanted) if whose in (None, one[1].tenant_id)]
    found = islice(chosen(), limit)
    if json:
        for event in found:
            print_json(_as_json(event))
        return
    _print_list(list(found), f" for tenant {str(whose)!r}" if others else "")
    for line in suspended_lines(suspended, limit):
        note(line)
    if others:
        note("other tenants have parked events; --all-tenants lists them")


def show(
    view_type: _ViewType,
    sequence: _Sequence,
    *,
    view_id: Annotated[
        str | None, Option("--id", metavar="ID", help="The view (default: all for which it is parked).")
    ] = None,
    json: _Json = False,
    storage: Storage = None,
    config: Config = None,
) -> None:
    """Print one parked event in full.

    Why it is parked, where in the program that was, and the envelope as received. Works while a node runs.
    """
    from projection.model.settings import Settings

    found = [
        event
        for event in _of_event(Settings.load(config, {"storage": storage}).storage, view_type, sequence)
        if view_id is None or event.view_id == view_id
    ]
    if not found:
        raise _not_parked(view_type, sequence, view_id)
    for number, event in enumerate(found):
        if json:
            print_json(_as_json(event))
            continue
        if number:
            say()
        _print_event(event)


def drop(
    view_type: _ViewType,
    sequence: _Sequence,
    *,
    view_id: Annotated[str | None, Option("--id", metavar="ID", help="The view for which it is parked.")] = None,
    alone: Annotated[bool, Option("--alone", help="Drop an event that is parked without a view.")] = False,
    reason: Reason = "",
    json: _Json = False,
    storage: Storage = None,
    config: Config = None,
) -> None:
    """Leave a parked event out permanently.

    The events that wait behind it are applied, in order. The decision is part of the build's fold identity, and new
    builds inherit it. A node may be running on the data folder.
    """
    from projection.cli.door import door_to, whoever
    from projection.engine.orders import DropOrder
    from projection.model.settings import Settings

    if alone == (view_id is not None):
        raise ConfigurationError(
            "drop takes one of --id and --alone",
            hint=f"`projection parked show {view_type} {sequence}` names the views that the event is parked for: "
            "--id ID; where it says `none`: --alone",
        )
    data = Settings.load(config, {"storage": storage}).storage
    found = [event for event in _of_event(data, view_type, sequence) if event.view_id == view_id]
    if not found:
        raise _not_parked(view_type, sequence, view_id)
    order = DropOrder(
        view_type=view_type,
        by=whoever(),
        reason=reason,
        sequence=sequence,
        tenant_id=str(found[0].tenant_id),
        view_id=view_id,
    )
    with door_to(data) as door:
        came = door.drop(order)
    print_json(_what_came(found[0], came)) if json else say(_told(found[0], came))


def suspended_lines(suspended: Sequence[tuple[ViewType, Suspension]], limit: int | None) -> Iterator[str]:
    """What is suspended, a sentence each; beyond the limit, how many more there are."""
    for view_type, one in suspended[:limit]:
        what = "all views" if one.view_id is None else f"view {str(one.view_id)!r}"
        yield f"{view_type}: {what} of tenant {str(one.tenant_id)!r}: suspended from event {one.sequence:,} on"
    if limit is not None and len(suspended) > limit:
        yield f"… and {len(suspended) - limit:,} more that are suspended"


def _of_event(data: Path, view_type: str, sequence: int) -> list[ParkedEvent]:
    from projection.model.ids import ViewType
    from projection.query.reading import parked_events

    try:
        wanted = ViewType(view_type)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    return [event for event in parked_events(data, wanted) if event.sequence == sequence]


def _not_parked(view_type: str, sequence: int, view_id: str | None) -> NotParkedError:
    of = "" if view_id is None else f" for the view {view_id!r}"
    return NotParkedError(
        f"event {sequence} is not parked in {view_type}{of}",
        hint=f"see what is with `projection parked list {view_type} --all-tenants`",
    )


def _as_json(event: ParkedEvent) -> dict[str, Any]:
    fields = event.model_dump(mode="python") | {"envelope": event.envelope.decode(errors="backslashreplace")}
    return {name: str(value) if isinstance(value, str) else value for name, value in fields.items()}


def _print_list(events: list[ParkedEvent], among: str) -> None:
    from projection.cli.tables import print_table
    from projection.model.parked import Disposition

    if not events:
        say(f"nothing is parked{among}")
        return
    rows = []
    for one in events:
        reason = f"(skipped) {one.message}" if one.disposition is Disposition.SKIPPED else one.message
        rows.append((one.view_type, one.tenant_id, one.view_id or "-", one.sequence, one.code, reason))
    print_table(("view type", "tenant", "view id", "event", "code", "reason"), rows, last_folds=True)


def _print_event(event: ParkedEvent) -> None:
    import msgspec

    from projection.lang.printable import printable

    reason = f"{event.code}, {event.error_class}: {event.message}"
    lines = {
        "event": f"{event.sequence} of tenant {str(event.tenant_id)!r}",
        "view": "none" if event.view_id is None else f"{event.view_type} {str(event.view_id)!r}",
        event.disposition.value: f"{reason} (at {event.span})" if event.span else reason,
        "subject": event.subject,
        "folded by": event.fold_identity,
    }
    for name, text in lines.items():
        say(f"{name:9}  {printable(text)}")
    try:
        envelope = msgspec.json.format(event.envelope, indent=2).decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        envelope = event.envelope.decode(errors="backslashreplace")
    for line in envelope.splitlines():
        say(printable(line))


def _what_came(event: ParkedEvent, came: DropCame) -> dict[str, Any]:
    return {
        "view_type": str(event.view_type),
        "tenant_id": str(event.tenant_id),
        "view_id": None if event.view_id is None else str(event.view_id),
        "sequence": event.sequence,
        "fold_identity": came.fold_identity,
        "taken": came.taken,
        "waiting": [{"sequence": one.sequence, "code": one.code} for one in came.waiting],
    }


def _told(event: ParkedEvent, came: DropCame) -> str:
    from projection.lang.printable import printable

    said = f"dropped event {event.sequence} of tenant {str(event.tenant_id)!r}"
    if event.view_id is None:
        return printable(said)
    said += f" for the view {str(event.view_id)!r}"
    if came.taken:
        said += f", which has taken {counted(came.taken, 'event')} that waited behind it"
    if came.waiting:
        head = came.waiting[0]
        waiting = counted(len(came.waiting), "event")
        said += f"; still parked: {waiting}, first {head.sequence} ({head.code}: {head.message})"
    return printable(said)
