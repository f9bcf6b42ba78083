"""`projection why`: the events that made a view, and what each of them changed."""

from __future__ import annotations

import shutil
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from projection.cli.console import counted, note, print_json, progress, say
from projection.cli.options import Config, ManifestFile, NatsUrl, Stream
from projection.cli.parameters import Argument, Exit, Option
from projection.errors import EXIT_FAILED, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from projection.engine.deployment import DeployedView
    from projection.history.changes import Change
    from projection.history.explaining import Explanation, StoredView
    from projection.history.watching import Effect
    from projection.model.ids import TenantId, ViewId
    from projection.model.settings import Settings

EXAMPLES = (
    "projection why fine_summary S38735 --tenant office-s",
    "projection why fine_summary S38735 balance --tenant office-s --at 120000",
    "projection why orders O1 --tenant north --events log.jsonl --format json",
)
_PIPED = 120  # columns where nobody watches a terminal


class Format(StrEnum):
    """What the answer looks like."""

    TEXT = "text"
    JSON = "json"


def why(
    view_type: Annotated[str, Argument(help="The view type, as the manifest names it.")],
    view_id: Annotated[str, Argument(metavar="ID", help="The view.")],
    field: Annotated[
        str | None,
        Argument(help="Only events that changed this, or failed: a field, or a place in it, as `lines[0].n`."),
    ] = None,
    *,
    tenant: Annotated[
        str | None, Option(metavar="TENANT", help="The tenant of the view (default: the default tenant).")
    ] = None,
    at: Annotated[
        int | None, Option(metavar="SEQUENCE", min=1, help="The view as it was after this event (default: the latest).")
    ] = None,
    events: Annotated[
        Path | None,
        Option(metavar="FILE", help="A file of JSON envelopes, or their short form (default: the stream)."),
    ] = None,
    stream: Stream = None,
    url: NatsUrl = None,
    manifest: ManifestFile = None,
    storage: Annotated[
        Path | None,
        Option(metavar="DIR", help="The node's data folder, to compare with (default: that of the settings, if any)."),
    ] = None,
    form: Annotated[Format, Option("--format", help="Text, or one JSON object.")] = Format.TEXT,
    config: Config = None,
) -> None:
    """Show why a view has its value, event by event.

    These are the events that made it, in order, what each changed, and by which line. If the view's id determines the
    aggregate of its events, only that aggregate's subjects are read. Events that are parked, skipped or dropped are
    shown with the reason. Exit status: 0 done, 1 no event is for such a view, or the node's stored view differs, 2
    wrong usage or configuration.
    """
    import asyncio

    from projection.model.ids import TenantId, ViewId
    from projection.model.settings import Settings

    if events is not None and (stream is not None or url is not None):
        raise ConfigurationError("--events goes with neither --stream nor --url")
    settings = Settings.load(config, {"manifest": manifest, "storage": storage, "stream": stream, "nats.url": url})
    try:
        whose = settings.default_tenant if tenant is None else TenantId(tenant)
        wanted = ViewId(view_id)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    deployed = _deployed(settings, view_type)
    _require_field(deployed, field)
    stored = otherwise = None
    if events is None or storage is not None:
        stored = _stored(settings, deployed, (whose, wanted), is_asked_for=storage is not None)
    if stored is not None:
        from projection.history.explaining import folded_otherwise

        otherwise = folded_otherwise(stored, deployed)
        if stored.build.base_identity == deployed.base_identity:
            deployed = deployed.within(stored.build)
    to_compare = None if otherwise else stored
    with progress("reading", None) as advance:
        found = asyncio.run(_explain(settings, deployed, (whose, wanted), events, at, to_compare, advance))
    notes = list(_notes(found, stored, otherwise, is_file=events is not None))
    if form is Format.JSON:
        print_json(_as_json(found, deployed, field, notes))
    else:
        for line in _lines(found, field, shutil.get_terminal_size((_PIPED, 24)).columns):
            say(line)
        for text in notes:
            note(f"note: {text}")
    if found.agrees is False or (found.view is None and not found.effects):
        raise Exit(EXIT_FAILED)


def _deployed(settings: Settings, view_type: str) -> DeployedView:
    from projection.engine.deployment import load_deployment
    from projection.lang.run.executors import Execution
    from projection.model.manifest import Manifest
    from projection.model.problems import did_you_mean

    manifest = Manifest.load(settings.manifest)
    views = tuple(one for one in manifest.views if one.view_type == view_type)
    if not views:
        known = did_you_mean(view_type, [str(one.view_type) for one in manifest.views])
        raise ConfigurationError(f"{settings.manifest} names no view type {view_type!r}", hint=known)
    chosen = manifest.replaced(views=views)
    return load_deployment(chosen, settings.tenancy, settings.subjects, Execution(settings.execution))[0]


def _require_field(deployed: DeployedView, place: str | None) -> None:
    from projection.model.problems import did_you_mean

    fields = deployed.program.checked.view.fields
    if place is not None and (name := place.partition(".")[0].partition("[")[0]) not in fields:
        raise ConfigurationError(
            f"views of type {deployed.entry.view_type} have no field {name!r}", hint=did_you_mean(name, [*fields])
        )


def _stored(
    settings: Settings, deployed: DeployedView, target: tuple[TenantId, ViewId], *, is_asked_for: bool
) -> StoredView | None:
    """The node's view, where its data folder is at hand; one that is asked for has to be there."""
    from projection.history.explaining import stored_view

    try:
        return stored_view(settings.storage, deployed, *target)
    except ConfigurationError:
        if is_asked_for:
            raise
        return None


async def _explain(
    settings: Settings,
    deployed: DeployedView,
    target: tuple[TenantId, ViewId],
    events: Path | None,
    at: int | None,
    stored: StoredView | None,
    advance: Callable[[int], None],
) -> Explanation:
    from projection.cli.history import opened_log
    from projection.history.explaining import explain

    async with opened_log(events, [deployed], settings, "why") as log:
        return await explain(log, deployed, *target, at=at, stored=stored, progress=advance)


# --- what is shown ---------------------------------------------------------------------------------------------------


def _told(found: Explanation, place: str | None) -> list[Effect]:
    """The effects that are asked for: with a place, those that changed it, and those that were kept from it."""
    from projection.history.changes import concerns

    if place is None:
        return found.effects
    return [
        one for one in found.effects if not one.is_taken or any(concerns(change.path, place) for change in one.changes)
    ]


def _changes(effect: Effect, place: str | None) -> list[Change]:
    from projection.history.changes import concerns

    return [one for one in effect.changes if place is None or concerns(one.path, place)]


def _lines(found: Explanation, place: str | None, width: int) -> Iterator[str]:
    from projection.cli.steps import shortened
    from projection.lang.printable import printable

    for effect in _told(found, place):
        yield printable(_head(effect))
        if effect.after is not None:
            for change in _changes(effect, place):
                yield f"  {shortened(shown_change(change), width - 2)}"
    shown = "there is none" if found.view is None else found.view.decode()
    yield f"view {found.view_id} after event {found.end}: {shown}"


def _head(effect: Effect) -> str:
    envelope = effect.event.envelope
    what = "no envelope" if envelope is None else f"{envelope.event_type} at {envelope.timestamp}"
    lines = f", line {', '.join(map(str, effect.lines))}" if effect.lines else ""
    gas = f", gas {effect.gas:,}" if effect.gas else ""
    by = " by an operator" if effect.outcome == "dropped" else ""
    head = f"event {effect.event.message.sequence} {what}{lines}{gas}: {effect.outcome}{by}"
    if effect.view_id is None:
        head += ", for no view"
    if (reason := effect.reason) is not None:
        head += f": {reason.code}{f' at {reason.place}' if reason.place else ''}: {reason.message}"
    return head + ("; what was parked for the view is discarded" if effect.releases else "")


def shown_change(change: Change) -> str:
    """`path: before → after`; what was not there before has no arrow, what is gone ends with it."""
    from projection.cli.steps import shown_value
    from projection.history.changes import ABSENT

    before, after = ("" if one is ABSENT else shown_value(one) for one in (change.before, change.after))
    return f"{change.path}: {after}" if change.before is ABSENT else f"{change.path}: {before} → {after or 'gone'}"


def _notes(found: Explanation, stored: StoredView | None, otherwise: str | None, *, is_file: bool) -> Iterator[str]:
    """What is to be known about the answer beside the events."""
    from projection.cli.unhandled_notes import unhandled_notes

    if not found.subjects.filters:
        yield "no event can touch a view of this id: no route of the program makes such an id"
    elif not any(one.view_id for one in found.effects):
        yield f"no event of tenant {str(found.tenant_id)!r} is for such a view; name another tenant with --tenant"
    elif not found.subjects.are_own and not is_file:
        yield (
            "all events of the tenant were read: the view's id does not determine their aggregate "
            "(`projection check` says why)"
        )
    if found.unhandled is not None:
        yield from unhandled_notes(found.unhandled)
    if found.unreached:
        yield f"{counted(found.unreached, 'event')} of the tenant reached no view, whichever they were meant for"
    if found.halted is not None:
        yield f"nothing later was folded: {found.halted.message}"
    if stored is None:
        return
    if otherwise is not None:
        yield f"not compared with {stored.build}: it is folded differently ({otherwise})"
    elif found.agrees is None:
        yield f"not compared with {stored.build}, which is at event {stored.scanned:,}"
    elif found.agrees:
        yield f"{stored.build} holds the same view, as of event {stored.scanned:,}"
    else:
        shown = "no such view" if stored.view is None else stored.view.decode()
        yield f"{stored.build} holds another as of event {stored.scanned:,}: {shown}; try `projection verify`"


def _as_json(found: Explanation, deployed: DeployedView, place: str | None, notes: list[str]) -> dict[str, Any]:
    import msgspec

    return {
        "view_type": str(deployed.entry.view_type),
        "tenant_id": str(found.tenant_id),
        "view_id": str(found.view_id),
        "events": [_effect(one, place) for one in _told(found, place)],
        "at": found.end,
        "view": None if found.view is None else msgspec.Raw(found.view),
        "subjects": list(found.subjects.filters),
        "agrees": found.agrees,
        "notes": notes,
    }


def _effect(effect: Effect, place: str | None) -> dict[str, Any]:
    from projection.history.differences import change_as_json

    envelope, reason = effect.event.envelope, effect.reason
    return {
        "sequence": effect.event.message.sequence,
        "event_type": None if envelope is None else envelope.event_type,
        "timestamp": None if envelope is None else envelope.timestamp,
        "event_id": None if envelope is None else envelope.event_id,
        "outcome": effect.outcome.value,
        "lines": list(effect.lines),
        "gas": effect.gas,
        "changes": [change_as_json(one) for one in _changes(effect, place)],
        "reason": None if reason is None else {"code": reason.code, "message": reason.message, "place": reason.place},
    }
