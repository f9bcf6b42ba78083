"""`projection run`: the node."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from projection.cli.console import note, print_json, progress, report
from projection.cli.options import Config, ManifestFile, NatsUrl, Storage, Stream
from projection.errors import EXIT_ABANDONED, EXIT_FAILED, EXIT_SIGNAL

if TYPE_CHECKING:
    from projection.engine.deployment import DeployedView
    from projection.engine.node import Node, Progress
    from projection.engine.summary import Summary
    from projection.errors import ProjectionError
    from projection.model.settings import Settings

EXAMPLES = (
    "projection run --manifest manifest.yaml --stream events",
    "projection run --manifest manifest.yaml --stream events --until-caught-up",
    "projection run --manifest manifest.yaml --stream events --new-build",
    "projection run --url nats://nats.internal:4222 --config node.yaml",
    "projection run --manifest manifest.yaml --listen 127.0.0.1:8080",
)


def run(
    *,
    manifest: ManifestFile = None,
    stream: Stream = None,
    url: NatsUrl = None,
    storage: Storage = None,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Where to answer queries over HTTP, or `off`; else the settings' http.listen."
        ),
    ] = None,
    until_caught_up: Annotated[
        bool, typer.Option("--until-caught-up", help="End when nothing is left to read; queries are not answered.")
    ] = False,
    new_build: Annotated[
        bool,
        typer.Option(
            "--new-build",
            help="Fold what is folded differently from now on anew, beside its former build, and switch when level.",
        ),
    ] = False,
    accept_fewer_messages: Annotated[
        bool,
        typer.Option(
            "--accept-fewer-messages",
            help="Let a new build serve even if the stream gave it fewer messages than its former build has seen.",
        ),
    ] = False,
    config: Config = None,
) -> None:
    """Fold the events of a stream into views, keep them up to date, and answer queries, until stopped.

    Ctrl-C or SIGTERM ends it once what it folded is committed, or after the stop timeout (exit status 3); a second
    one ends it at once (128 and the signal's number). A kill at any moment loses nothing. With --until-caught-up it
    ends by itself. One JSON object on stdout says what it came to.
    """
    import asyncio

    import uvloop

    from projection.cli.logs import configure_logs
    from projection.engine.deployment import load_deployment
    from projection.lang.run.executors import Execution
    from projection.model.manifest import Manifest
    from projection.model.settings import Settings

    options = {"manifest": manifest, "stream": stream, "nats.url": url, "storage": storage, "http.listen": listen}
    settings = Settings.load(config, options)
    deployed = load_deployment(
        Manifest.load(settings.manifest), settings.tenancy, settings.subjects, Execution(settings.execution)
    )
    configure_logs()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        ended = runner.run(
            _run(
                settings,
                deployed,
                until_caught_up=until_caught_up,
                new_build=new_build,
                accept_fewer_messages=accept_fewer_messages,
            )
        )
    print_json(asdict(ended.summary))
    for error in ended.halted:
        report(error)
    if ended.abandoned:
        note("note: a batch could not be committed in time; it was not acknowledged, and the next start folds it again")
        sys.stdout.flush()
        os._exit(EXIT_ABANDONED)  # a thread still waits for the disk, and Python would wait for it
    if ended.halted:
        raise typer.Exit(EXIT_FAILED)


@dataclass(frozen=True, slots=True)
class _Ended:
    summary: Summary
    halted: list[ProjectionError]
    abandoned: bool


async def _run(
    settings: Settings,
    deployed: tuple[DeployedView, ...],
    *,
    until_caught_up: bool,
    new_build: bool,
    accept_fewer_messages: bool,
) -> _Ended:
    from projection.cli.connection import nats_connection
    from projection.engine.assembly import open_node
    from projection.ops.http.server import Listener, serving
    from projection.store.catalog import Catalog
    from projection.stream.connection import Nats

    async with AsyncExitStack() as opened:
        listener = None if until_caught_up else Listener.open(settings)
        if listener is not None:
            opened.enter_context(listener)
        catalog = opened.enter_context(Catalog.open(settings.storage, settings.node))
        nats = await opened.enter_async_context(await Nats.connect(nats_connection(settings.nats)))
        node = opened.enter_context(
            await open_node(
                settings, deployed, catalog, nats, new_build=new_build, accept_fewer_messages=accept_fewer_messages
            )
        )
        _stop_on_signals(node)
        if listener is not None:
            await opened.enter_async_context(serving(listener, node, catalog, settings))
        with progress("folding", None) as advance:

            def show(now: Progress) -> None:
                advance(now.events, now.events + now.pending)

            summary = await node.run(until_caught_up=until_caught_up, on_progress=show)
        halted = [lane.halted for lane in node.lanes if lane.halted is not None]
        return _Ended(summary, [*halted, *node.refused], node.abandoned)


def _stop_on_signals(node: Node) -> None:
    """The first signal asks the node to stop; the second ends the process, whatever it is at, be it that it hangs."""
    import asyncio

    loop = asyncio.get_running_loop()
    asked = False

    def stop(number: int, _: object) -> None:
        nonlocal asked
        if asked:
            os._exit(EXIT_SIGNAL + number)
        asked = True
        loop.call_soon_threadsafe(node.stop)

    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, stop)  # not the loop's own way: that one waits for the loop
