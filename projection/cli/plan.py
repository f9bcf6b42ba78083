"""`projection plan`: what deploying a manifest would do, what it takes, and which of some views would differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from projection.cli.console import note, print_json, progress, say
from projection.cli.diff import views_table
from projection.cli.options import Config, ManifestFile, NatsUrl, Storage, Stream
from projection.cli.parameters import Option
from projection.errors import StreamError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from projection.history.planning import PlannedStep
    from projection.history.watching import Target
    from projection.model.settings import Settings

EXAMPLES = (
    "projection plan",
    "projection plan --manifest manifest.yaml --sample 50",
    "projection plan --json",
)


def plan(
    *,
    sample: Annotated[
        int, Option(metavar="N", min=0, help="Fold N views of each view type aside, and show which would differ.")
    ] = 0,
    json: Annotated[bool, Option("--json", help="One JSON object for each view type.")] = False,
    manifest: ManifestFile = None,
    stream: Stream = None,
    url: NatsUrl = None,
    storage: Storage = None,
    config: Config = None,
) -> None:
    """Show what `projection deploy` would do, and what it takes.

    It says which view types of the manifest fold anew, and why. Events and disk are rough: events are counted in the
    whole stream, and disk is what the present build takes. Writes nothing, and reads while a node writes.
    """
    import asyncio

    from projection.engine.deploying import plan_deployment
    from projection.engine.deployment import load_deployment
    from projection.history.planning import planned, some_views
    from projection.model.manifest import Manifest
    from projection.model.settings import Settings
    from projection.store.catalog import CatalogReader

    settings = Settings.load(config, {"manifest": manifest, "stream": stream, "nats.url": url, "storage": storage})
    deployed = load_deployment(Manifest.load(settings.manifest), settings.tenancy, settings.subjects)
    with CatalogReader.open(settings.storage) as catalog:
        steps = planned(catalog, plan_deployment(catalog, deployed))
    folding = [one for one in steps if one.folds is not None]
    if sample:
        wanted = {
            str(one.view_type): some_views(one.answers, sample) for one in (each.folds for each in folding) if one
        }
        asyncio.run(_looked_at(settings, folding, wanted))
    elif folding:
        try:
            asyncio.run(_looked_at(settings, folding, {}))
        except StreamError as error:
            note(f"note: how many events are to be read is not known: {error.message}")
    _print(steps, as_json=json)


async def _looked_at(settings: Settings, steps: Sequence[PlannedStep], wanted: Mapping[str, list[Target]]) -> None:
    from projection.cli.connection import nats_connection
    from projection.history.logs import StreamLog
    from projection.history.planning import look_ahead
    from projection.stream.connection import Nats
    from projection.stream.jetstream import JetStream

    async with await Nats.connect(nats_connection(settings.nats)) as nats:
        end = (await JetStream(nats).stream_info(settings.stream)).state.last_seq
        for one in steps:
            log = StreamLog(nats, settings.stream, "plan")
            if one.folds is not None and one.after is not None:
                start = max(one.after, await log.before_start(one.folds.deployed))
                one.events = max(0, end - start)
            if (views := wanted.get(str(one.step.view_type))) is not None:
                with progress(f"folding views of {one.step.view_type}", None) as advance:
                    await look_ahead(one, log, views, advance)


def _print(steps: Sequence[PlannedStep], *, as_json: bool) -> None:
    from projection.cli.tables import print_table, size

    if as_json:
        for one in steps:
            print_json(_as_json(one))
        return
    rows = [
        (
            one.step.view_type,
            one.step.change,
            _or_unknown(one, None if one.events is None else f"{one.events:,}"),
            "-" if one.bytes is None else size(one.bytes),
            one.step.why or "-",
        )
        for one in steps
    ]
    print_table(("view type", "action", "events", "disk", "what is different"), rows, last_folds=True)
    for one in steps:
        if one.sampled:
            say(f"\n{one.step.view_type}: of {one.sampled:,} views, {len(one.differing):,} would differ")
        if one.differing:
            print_table(*views_table(one.differing), last_folds=True)


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
        "bytes": one.bytes,
        "sampled": one.sampled,
        "differing": [to_builtins(DifferingView.of(each)) for each in one.differing],
    }
