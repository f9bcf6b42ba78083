"""`projection compare`: what two builds of a view type hold differently."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

from projection.cli.console import counted, print_json, progress, say
from projection.cli.diff import Format, parked_table, views_table
from projection.cli.options import Config, NatsUrl, Storage, Stream
from projection.cli.parameters import Argument, Exit, Option
from projection.errors import EXIT_FAILED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from projection.history.build_comparison import BuildComparison
    from projection.model.settings import Settings
    from projection.store.build import Build

EXAMPLES = (
    "projection compare shop_orders",
    "projection compare shop_orders 3 4 --limit 100",
    "projection compare shop_orders --stored-only --format json",
)


def compare(
    view_type: Annotated[str, Argument(help="The view type, as the manifest names it.")],
    old: Annotated[int | None, Argument(help="A build (default: the one that answers).", min=1)] = None,
    new: Annotated[
        int | None, Argument(help="Another build (default: the one being folded, or the one that follows).", min=1)
    ] = None,
    *,
    stored_only: Annotated[
        bool, Option("--stored-only", help="Do not read the stream to find the first event that made a difference.")
    ] = False,
    form: Annotated[Format, Option("--format", help="Tables, or one JSON object.")] = Format.TABLE,
    limit: Annotated[int, Option(metavar="N", min=0, help="Show N views and N parked events; all are counted.")] = 20,
    stream: Stream = None,
    url: NatsUrl = None,
    storage: Storage = None,
    config: Config = None,
) -> None:
    """Show which views of two builds differ, and how.

    The stored views are compared; the stream says which event made the difference. Works while a node runs. Exit
    status: 0 both contain the same views and park the same events, 1 they do not.
    """
    import asyncio
    from decimal import Decimal

    from msgspec import to_builtins

    from projection.cli.builds import name_of
    from projection.history.build_comparison import compare_builds, compared_builds
    from projection.history.differences import BuildDifferences
    from projection.model.settings import Settings
    from projection.store.catalog import CatalogReader

    settings = Settings.load(config, {"stream": stream, "nats.url": url, "storage": storage})
    name = name_of(view_type)
    if not stored_only:
        with CatalogReader.open(settings.storage) as catalog:
            builds = compared_builds(catalog, name, old, new)
        found = asyncio.run(_with_events(settings, builds, limit))
    else:
        found = compare_builds(settings.storage, name, old, new, limit=limit)
    if form is Format.JSON:
        print_json(to_builtins(BuildDifferences.of(found), builtin_types=(Decimal,)))
    else:
        _print(found)
    if not found.is_equal:
        raise Exit(EXIT_FAILED)


async def _with_events(settings: Settings, builds: tuple[Build, Build], limit: int) -> BuildComparison:
    from projection.cli.history import opened_log
    from projection.history.build_comparison import compare_with_log

    with ExitStack() as stack:
        shown: dict[str, Callable[[int], None]] = {}

        def advance(doing: str, sequence: int) -> None:
            if doing not in shown:
                stack.close()
                shown[doing] = stack.enter_context(progress(doing, None))
            shown[doing](sequence)

        async with opened_log(None, [], settings, "compare") as log:
            return await compare_with_log(builds, log, limit, advance)


def _print(found: BuildComparison) -> None:
    from projection.cli.tables import print_table

    say("\n".join(_summary(found)))
    if found.views:
        say()
        print_table(*views_table(found.views), last_folds=True)
    if (more := found.kinds.total() - len(found.views)) > 0:
        say(f"… and {counted(more, 'more view')} (--limit shows more)")
    if found.parked:
        say()
        print_table(*parked_table(found.parked, _sides(found)))
    if (more := found.newly_parked + found.no_longer_parked + found.parked_otherwise - len(found.parked)) > 0:
        say(f"… and {counted(more, 'more event')} (--limit shows more)")


def _sides(found: BuildComparison) -> tuple[str, str]:
    return f"parked in {found.old.build.number}", f"parked in {found.new.build.number}"


def _summary(found: BuildComparison) -> Iterator[str]:
    for one in (found.old, found.new):
        suspended = f", {one.suspended:,} suspended" if one.suspended else ""
        yield (
            f"{one.build} at event {one.scanned:,}: {counted(one.views, 'view')}, {one.parked:,} parked{suspended}, "
            f"digest {one.digest[:16]}"
        )
    kinds = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in sorted(found.kinds.items()))
    left_out = not found.is_at_one_event and found.in_between
    yield f"views: {kinds or ('the others are equal' if left_out else 'all equal')}"
    if found.fields:
        by_field = sorted(found.fields.items(), key=lambda item: (-item[1], item[0]))
        yield f"  fields: {', '.join(f'{name} in {count:,}' for name, count in by_field)}"
    if not found.is_at_one_event and found.touched_is_known:
        yield f"  not compared: {counted(found.in_between, 'view')} that events between the two positions are for"
    elif not found.is_at_one_event:
        yield "  the builds are at different events, which makes views differ as well"
    if found.newly_parked or found.no_longer_parked or found.parked_otherwise:
        yield (
            f"parked or skipped: {found.newly_parked:,} newly, {found.no_longer_parked:,} no longer, "
            f"{found.parked_otherwise:,} for another reason"
        )
