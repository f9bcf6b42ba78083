"""`projection run`: the node."""

from __future__ import annotations

import signal
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from projection.cli.console import print_json, progress, report
from projection.errors import EXIT_FAILED

if TYPE_CHECKING:
    from projection.engine.deployment import DeployedView
    from projection.errors import ProjectionError
    from projection.engine.node import Progress
    from projection.engine.summary import Summary
    from projection.model.settings import Settings

EXAMPLES = (
    "projection run --manifest manifest.yaml --stream events",
    "projection run --manifest manifest.yaml --stream events --until-caught-up",
    "projection run --url nats://nats.internal:4222 --config node.yaml",
)


def run(
    *,
    manifest: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The manifest; else that of the settings.")
    ] = None,
    stream: Annotated[str | None, typer.Option(metavar="NAME", help="The stream; else that of the settings.")] = None,
    url: Annotated[str | None, typer.Option(metavar="URL", help="The NATS server; else that of the settings.")] = None,
    storage: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The data folder; else that of the settings.")
    ] = None,
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="End when nothing is left to read.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The settings; else projection.yaml, .toml or .json in this folder."),
    ] = None,
) -> None:
    """Fold the events of a stream into views, and keep them up to date until stopped.

    Ctrl-C or SIGTERM ends it after the batch it is at; a kill at any moment loses nothing. With --until-caught-up it
    ends by itself. Either way one JSON object on stdout says what it came to.
    """
    import asyncio

    from projection.cli.logs import configure_logs
    from projection.engine.deployment import load_deployment
    from projection.lang.run.executors import Execution
    from projection.model.manifest import Manifest
    from projection.model.settings import Settings

    options = {"manifest": manifest, "stream": stream, "nats.url": url, "storage": storage}
    settings = Settings.load(config, options)
    deployed = load_deployment(
        Manifest.load(settings.manifest), settings.tenancy, settings.subjects, Execution(settings.execution)
    )
    configure_logs()
    summary, halted = asyncio.run(_run(settings, deployed, until_caught_up))
    print_json(asdict(summary))
    for error in halted:
        report(error)
    if halted:
        raise typer.Exit(EXIT_FAILED)


async def _run(
    settings: Settings, deployed: tuple[DeployedView, ...], until_caught_up: bool
) -> tuple[Summary, list[ProjectionError]]:
    import asyncio

    from projection.cli.connection import nats_connection
    from projection.engine.assembly import open_node
    from projection.store.catalog import Catalog
    from projection.stream.connection import Nats

    loop = asyncio.get_running_loop()
    with Catalog.open(settings.storage, settings.node) as catalog:
        async with await Nats.connect(nats_connection(settings.nats)) as nats:
            with await open_node(settings, deployed, catalog, nats) as node:

                def stop(signum: signal.Signals) -> None:
                    loop.remove_signal_handler(signum)  # the second one ends at once
                    node.stop()

                for signum in (signal.SIGINT, signal.SIGTERM):
                    loop.add_signal_handler(signum, stop, signum)
                with progress("folding", None) as advance:

                    def show(now: Progress) -> None:
                        advance(now.events, now.events + now.pending)

                    summary = await node.run(until_caught_up=until_caught_up, on_progress=show)
                return summary, [lane.halted for lane in node.lanes if lane.halted is not None]
