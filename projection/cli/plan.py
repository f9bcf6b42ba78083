"""`projection plan`: what deploying a manifest would do, what it takes, and which of some views would differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from projection.cli.console import note, print_json, progress, say
from projection.cli.diff import views_table
from projection.cli.options import Config, ManifestFile, NatsUrl, Storage, Stream
from projection.cli.parameters import Option
from projection.errors import StreamError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from projection.history.planning import PlannedStep
    from projection.model.settings import Settings

EXAMPLES = (
    "projection plan",
    "projection plan --manifest manifest.yaml --sample 50",
    "projection plan --json",
)


def plan(
    *,
    sample: Annotated[
        int,
        Option(
            metavar="N",
            min=0,
            help="Fold N views of each view type that can change, and show which would differ.",
        ),
    ] = 0,
    json: Annotated[bool, Option("--json", help="One JSON object for each view type.")] = False,
    manifest: ManifestFile = None,
    stream: Stream = None,
    url: NatsUrl = None,
    storage: Storage = None,
    config: Config = None,
) -> None:
    """Show what `projection deploy` would do, and its cost.

    It says which view types of the manifest would be rebuilt, and why, and whether only views that had certain events
    would be folded. Events, time and disk are rough: events are counted in the whole stream, the time is estimated from
    the speed of former builds, and the disk space is that of the present build. Writes nothing, and works while a node
    runs.
    """
    import asyncio

    from projection.engine.deploying import plan_deployment
    from projection.engine.deployment import load_deployment
    from projection.history.planning import planned
    from projection.model.manifest import Manifest
    from projection.model.settings import Settings
    from projection.store.catalog import CatalogReader

    settings = Settings.load(config, {"manifest": manifest, "stream": stream, "nats.url": url, "storage": storage})
    deployed = load_deployment(Manifest.load(settings.manifest), settings.tenancy, settings.subjects)
    with CatalogReader.open(settings.storage) as catalog:
        steps = planned(catalog, plan_deployment(catalog, deployed))
    folding = [one for one in steps if one.folds is not None]
    try:
        if folding:
            asyncio.run(_looked_at(settings, folding, sample))
    except StreamError as error:
        if sample:
            raise
        note(f"note: the number of events to read is not known: {error.message}")
    _print(steps, as_json=json)


async def _looked_at(settings: Settings, steps: Sequence[PlannedStep], sample: int) -> None:
    from projection.cli.connection import nats_connection
    from projection.history.logs import StreamLog
    from projection.history.planning import look_closer
    from projection.stream.connection import Nats
    from projection.stream.jetstream import JetStream

    async with await Nats.connect(nats_connection(settings.nats)) as nats:
        end = (await JetStream(nats).stream_info(settings.stream)).state.last_seq
        for one in steps:
            log = StreamLog(nats, settings.stream, "plan")
            if one.folds is not None and one.after is not None:
                start = max(one.after, await log.before_start(one.folds.deployed))
                one.events = max(0, end - start)
            if sample:
                with progress(f"looking at {one.step.view_type}", None) as advance:
                    await look_closer(one, log, sample, lambda _doing, sequence: advance(sequence))


def _print(steps: Sequence[PlannedStep], *, as_json: bool) -> None:
    from projection.cli.tables import duration, print_table, size

    if as_json:
        for one in steps:
            print_json(_as_json(one))
        return
    rows = [
        (
            one.step.view_type,
            one.step.change,
            _or_unknown(one, None if one.events is None else f"{one.events:,}"),
            _or_unknown(one, None if one.seconds is None else duration(one.seconds)),
            "-" if one.bytes is None else size(one.bytes),
            one.step.why or "-",
        )
        for one in steps
    ]
    print_table(("view type", "action", "events", "time", "disk", "what is different"), rows, last_folds=True)
    for one in steps:
        for line in _told(one):
            say(f"{one.step.view_type}: {line}")
        if one.differing:
            print_table(*views_table(one.differing), last_folds=True)


def _told(one: PlannedStep) -> Iterator[str]:
    """What stands below the table."""
    if one.folds is None:
        return
    if one.rests_on is not None:
        yield f"time: {one.rests_on}"
    else:
        how = "`projection plan --sample 1` estimates it from the start of the log, if that has events of it"
        yield f"time: not known, because no build of it was measured; {how}"
    if one.reach is not None and (one.reach.is_narrow or one.in_words is None):
        yield one.reach.in_words
    if one.in_words is not None:
        yield "folds anew only these views" if one.is_partial and one.touched is None else one.in_words
    if one.touched is not None:
        least = "" if one.touched.is_whole else "more than "
        yield f"{least}{len(one.touched.views):,} views had {one.touched.events:,} such events"
    if one.sampled:
        yield f"of {one.sampled:,} views, {len(one.differing):,} would differ"


def _or_unknown(one: PlannedStep, told: str | None) -> str:
    return told if told is not None else "-" if one.after is None else "unknown"


def _as_json(one: PlannedStep) -> dict[str, object]:
    from msgspec import to_builtins

    from projection.history.differences import DifferingView

    return {
        "view_type": str(one.step.view_type),
        "change": one.step.change,
        "why": one.step.why,
        "build": None if one.step.known_build is None else one.step.known_build.number,
        "events": one.events,
        "seconds": one.seconds,
        "seconds_rest_on": one.rests_on,
        "bytes": one.bytes,
        "reach": None if one.reach is None else one.reach.as_json(),
        "touched": None if one.touched is None else {"events": one.touched.events, "views": len(one.touched.views)},
        "folds": one.in_words,
        "sampled": one.sampled,
        "differing": [to_builtins(DifferingView.of(each)) for each in one.differing],
    }
