"""`projection diff`: what another program, or another manifest, would make of the same events."""

from __future__ import annotations

from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from projection.cli.console import print_json, progress, say
from projection.cli.options import Config, NatsUrl
from projection.cli.parameters import Argument, Exit, Option
from projection.errors import EXIT_FAILED, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from projection.engine.deployment import DeployedView
    from projection.history.comparison import Comparison, First, Pair, ParkedDifference, Side, ViewDifference
    from projection.model.manifest import Manifest, ManifestView
    from projection.model.settings import Settings

EXAMPLES = (
    "projection diff HEAD:fines/program.proj program.proj --events log.jsonl.gz",
    "projection diff main:manifest.yaml manifest.yaml --stream events",
    "projection diff old.proj new.proj --events events.jsonl --format json",
)


class Format(StrEnum):
    """What the result looks like."""

    TABLE = "table"
    JSON = "json"


def diff(
    old: Annotated[str, Argument(metavar="OLD", help="A program, a manifest, a folder; or one in git: `HEAD~1:PATH`.")],
    new: Annotated[str, Argument(metavar="NEW", help="The same, to compare with the first.")],
    *,
    events: Annotated[
        Path | None, Option(metavar="FILE", help="Events: one JSON envelope per line, or their short form.")
    ] = None,
    stream: Annotated[str | None, Option(metavar="NAME", help="Events: the stream with this name.")] = None,
    url: NatsUrl = None,
    form: Annotated[Format, Option("--format", help="Tables, or one JSON object.")] = Format.TABLE,
    limit: Annotated[
        int, Option(metavar="N", min=0, help="Show N views of each type, and N parked events; all are counted.")
    ] = 20,
    config: Config = None,
) -> None:
    """Show which views differ when two programs fold them.

    Both fold the same events. Each view is shown with its differences, and since which event. A program is deployed as
    the manifest on the other side says, if there is one. Exit status: 0 both give the same views and park the same
    events, 1 they do not, 2 wrong usage, or a program has errors.
    """
    import asyncio

    from projection.model.settings import Settings

    if (events is None) == (stream is None):
        raise ConfigurationError("name the events: either --events or --stream")
    if events is not None and url is not None:
        raise ConfigurationError("--events and --url do not go together")
    settings = Settings.load(config, {"stream": stream, "nats.url": url})
    pairs, alone = _pairs(old, new, settings)
    found: Sequence[Comparison] = []
    if pairs:
        found = asyncio.run(_compare(settings, pairs, events, limit))
    if form is Format.JSON:
        print_json({"view_types": [_as_json(one, limit) for one in found], "only_old": alone[0], "only_new": alone[1]})
    else:
        _print(found, limit)
        for names, side in zip(alone, (old, new), strict=True):
            for name in names:
                say(f"view type {name}: only in {side}")
    if any(alone) or not all(one.is_equal for one in found):
        raise Exit(EXIT_FAILED)


async def _compare(settings: Settings, pairs: Sequence[Pair], events: Path | None, limit: int) -> list[Comparison]:
    from projection.cli.history import opened_log
    from projection.history.comparison import compare

    with ExitStack() as stack:
        shown: dict[str, Callable[[int], None]] = {}

        def advance(doing: str, sequence: int) -> None:
            if doing not in shown:
                stack.close()
                shown[doing] = stack.enter_context(progress(doing, None))
            shown[doing](sequence)

        async with opened_log(events, [one.new for one in pairs], settings, "diff") as log:
            return await compare(log, pairs, limit, advance)


# --- what is compared ------------------------------------------------------------------------------------------------


def _pairs(old: str, new: str, settings: Settings) -> tuple[list[Pair], tuple[list[str], list[str]]]:
    """The view types of both sides, and the names of those that only one of them has."""
    from projection.cli.versions import version
    from projection.history.comparison import Pair
    from projection.testing.finding import manifest_of

    with version(old) as old_path, version(new) as new_path:
        before, after = manifest_of(old_path), manifest_of(new_path)
        is_program = old_path.suffix == ".proj", new_path.suffix == ".proj"
        if is_program == (True, False):
            before, after = _under_terms_of(after, before, old)
        elif is_program == (False, True):
            after, before = _under_terms_of(before, after, new)
        elif all(is_program):  # a program may have got another name
            after = after.replaced(views=(_renamed(after.views[0], before.views[0]),))
        olds, news = (
            {one.entry.view_type: one for one in _deployed(manifest, side, settings)}
            for manifest, side in ((before, old), (after, new))
        )
    pairs = [Pair(one, news[name]) for name, one in olds.items() if name in news]
    templates = {str(one.entry.subject_template) for pair in pairs for one in pair}
    if len(templates) > 1:
        raise ConfigurationError(
            f"the subject templates differ: {' and '.join(sorted(templates))}",
            hint="events of one are no events of the other; compare with the template of one of them in both",
        )
    return pairs, ([str(one) for one in olds if one not in news], [str(one) for one in news if one not in olds])


def _under_terms_of(manifest: Manifest, program: Manifest, side: str) -> tuple[Manifest, Manifest]:
    """A program as a manifest on the other side deploys it: it alone, and the manifest with that view type only."""
    from projection.testing.finding import program_name

    name = program.views[0].view_type
    known = [one for one in manifest.views if name in (one.view_type, program_name(one.program))]
    if not known and len(manifest.views) == 1:
        known = list(manifest.views)
    if len(known) != 1:
        names = ", ".join(one.view_type for one in manifest.views)
        raise ConfigurationError(f"the other side does not tell which view type {side} is: it has {names}")
    entry = known[0].replaced(program=program.views[0].program)
    return program.replaced(views=(entry,)), manifest.replaced(views=(known[0],))


def _renamed(entry: ManifestView, other: ManifestView) -> ManifestView:
    return entry.replaced(view_type=other.view_type)


def _deployed(manifest: Manifest, side: str, settings: Settings) -> Sequence[DeployedView]:
    from projection.engine.deployment import load_deployment
    from projection.lang.reporting import ProgramInvalidError
    from projection.lang.run.executors import Execution

    try:
        return load_deployment(manifest, settings.tenancy, settings.subjects, Execution(settings.execution))
    except ProgramInvalidError as error:
        first = error.diagnostics[0]
        line, column = error.source.position(first.span.start)
        raise ConfigurationError(
            f"{side} does not check: {Path(error.source.name).name}:{line}:{column}: {first.code}: {first.message}",
            hint="`projection check` shows every error with its place",
        ) from None


# --- what is shown ---------------------------------------------------------------------------------------------------


def _print(found: Sequence[Comparison], limit: int) -> None:
    from projection.cli.tables import print_table

    for number, one in enumerate(found):
        say("\n" * (number > 0) + "\n".join(_summary(one)))
        if one.views:
            say()
            print_table(*views_table(one.views), last_folds=True)
        if sum(one.kinds.values()) > len(one.views):
            say(f"… and {sum(one.kinds.values()) - len(one.views):,} more views (--limit shows more)")
        if one.parked:
            say()
            print_table(*parked_table(one.parked[:limit], ("parked before", "parked now")))
        if len(one.parked) > limit:
            say(f"… and {len(one.parked) - limit:,} more events")


def _summary(one: Comparison) -> Iterator[str]:
    kinds = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in sorted(one.kinds.items()))
    views = f"{one.old.views:,} views" + (f" → {one.new.views:,}" if one.new.views != one.old.views else "")
    yield f"{one.pair.new.entry.view_type}: {views}; {kinds or 'all equal'}"
    if one.fields:
        yield f"  fields: {', '.join(f'{name} in {count:,}' for name, count in one.by_field.items())}"
    yield f"  gas: {_gas(one.old.gas, one.new.gas)}"
    if one.old.parked or one.new.parked:
        newly, gone, other = _parked_counts(one)
        yield (
            f"  parked or skipped: {one.old.parked:,} → {one.new.parked:,}: {newly:,} newly, {gone:,} no longer, "
            f"{other:,} for another reason"
        )
    for side, name in ((one.old, "before"), (one.new, "now")):
        if side.halted is not None:
            yield f"  {name}, the view type halts: {side.halted.message}"


def _gas(old: int, new: int) -> str:
    if old == new:
        return f"{old:,} in both"
    return f"{old:,} → {new:,}" + (f" ({(new - old) / old:+.2%})" if old else "")


def _parked_counts(one: Comparison) -> tuple[int, int, int]:
    """How many events are parked newly, no longer, and for another reason."""
    newly = sum(each.old is None for each in one.parked)
    gone = sum(each.new is None for each in one.parked)
    return newly, gone, len(one.parked) - newly - gone


def views_table(views: Iterable[ViewDifference]) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Views that differ, as the head and the rows of a table; from which event on they do, if that is known."""
    shown = list(views)
    events = ("from event",) if any(view.first is not None for view in shown) else ()
    rows: list[tuple[object, ...]] = [
        (
            view.view_id,
            view.tenant_id,
            view.kind.replace("_", " "),
            *(_first(view.first) for _ in events),
            _fields(view),
        )
        for view in shown
    ]
    return ("view id", "tenant", "differs", *events, "fields"), rows


def parked_table(
    parked: Iterable[ParkedDifference], sides: tuple[str, str]
) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Events that are parked differently as a table: its head, with a name for each side, and its rows."""
    rows: list[tuple[object, ...]] = [
        (each.sequence, each.tenant_id, each.view_id or "", each.old or "", each.new or "") for each in parked
    ]
    return ("event", "tenant", "view id", *sides), rows


def _first(first: First | None) -> str:
    if first is None:
        return ""
    envelope = first.event.envelope
    lines = [",".join(map(str, effect.lines)) for effect in (first.old, first.new) if effect is not None]
    where = f" (line {' → '.join(dict.fromkeys(lines))})" if any(lines) else ""
    return f"{first.event.message.sequence} {'' if envelope is None else envelope.event_type}{where}"


def _fields(view: ViewDifference) -> str:
    from projection.cli.why import shown_change

    return "" if view.kind != "changed" else "; ".join(map(shown_change, view.changes))


def _as_json(one: Comparison, limit: int) -> dict[str, Any]:
    newly, gone, other = _parked_counts(one)
    return {
        "view_type": str(one.pair.new.entry.view_type),
        "equal": one.is_equal,
        "old": _side(one.old),
        "new": _side(one.new),
        "only_old": one.kinds["only_old"],
        "only_new": one.kinds["only_new"],
        "changed": one.kinds["changed"],
        "fields": one.by_field,
        "newly_parked": newly,
        "no_longer_parked": gone,
        "parked_otherwise": other,
        "views": [_view(each) for each in one.views],
        "parked": [_parked(each) for each in one.parked[:limit]],
    }


def _parked(one: ParkedDifference) -> dict[str, Any]:
    view_id = None if one.view_id is None else str(one.view_id)
    return {**one._asdict(), "tenant_id": str(one.tenant_id), "view_id": view_id}


def _side(side: Side) -> dict[str, Any]:
    halted = None if side.halted is None else side.halted.message
    return {"views": side.views, "gas": side.gas, "parked": side.parked, "halted": halted}


def _view(view: ViewDifference) -> dict[str, Any]:
    from projection.history.differences import change_as_json

    found: dict[str, Any] = {
        "tenant_id": str(view.tenant_id),
        "view_id": str(view.view_id),
        "differs": view.kind,
        "changes": [change_as_json(one) for one in view.changes],
        "first": None,
    }
    if (first := view.first) is not None:
        envelope = first.event.envelope
        found["first"] = {
            "sequence": first.event.message.sequence,
            "event_type": None if envelope is None else envelope.event_type,
            "old_lines": [] if first.old is None else list(first.old.lines),
            "new_lines": [] if first.new is None else list(first.new.lines),
        }
    return found
