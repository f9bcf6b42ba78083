"""`projection run`: the node."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, TypeVar

from projection.cli.console import note, print_json, progress, report
from projection.cli.options import Config, ManifestFile, NatsUrl, Storage, Stream
from projection.cli.parameters import Exit, Option
from projection.errors import EXIT_ABANDONED, EXIT_SIGNAL

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from projection.cli.console import Figures
    from projection.engine.deployment import DeployedView
    from projection.engine.node import Progress
    from projection.engine.summary import Summary
    from projection.errors import ProjectionError
    from projection.model.settings import Settings
    from projection.ops.long_operations import LongOperations
    from projection.ops.tracing.exporting import NodeTracing
    from projection.store.catalog import Catalog

_Opened = TypeVar("_Opened")
_ROOM_EVERY_S = 1.0  # between two looks whether a full disk has room

EXAMPLES = (
    "projection run --manifest manifest.yaml --stream events",
    "projection run --manifest manifest.yaml --stream events --until-caught-up",
    "projection run --manifest manifest.yaml --stream events --new-build",
    "projection run --config node.yaml --as-deployed",
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
        Option(
            metavar="ADDRESS", help="The address for queries over HTTP, or `off` (default: the settings' http.listen)."
        ),
    ] = None,
    until_caught_up: Annotated[
        bool, Option("--until-caught-up", help="End once the node has caught up; queries are not answered.")
    ] = False,
    new_build: Annotated[
        bool,
        Option(
            "--new-build",
            help="Rebuild view types that are now folded differently, and switch once caught up.",
        ),
    ] = False,
    as_deployed: Annotated[
        bool,
        Option(
            "--as-deployed",
            help="Fold what was deployed last, whatever the manifest says; it counts only if nothing was deployed.",
        ),
    ] = False,
    accept_fewer_messages: Annotated[
        bool,
        Option(
            "--accept-fewer-messages",
            help="Let a new build answer even if it has seen fewer messages than the former build.",
        ),
    ] = False,
    config: Config = None,
) -> None:
    """Run a node: fold a stream into views, and answer queries.

    It keeps the views up to date until it is stopped. Stored views are served from the start; while the server or the
    stream cannot be used, the node says why and tries again. Ctrl-C or SIGTERM ends it once everything folded is
    committed, or after the stop timeout (exit status 3); a second one ends it at once (128 plus the signal's number).
    With the setting http.drain_s, it first continues to answer for that long, and is not ready. SIGUSR1 does the same,
    for hooks before the stop: a SIGTERM after it is not a second signal. A kill at any moment loses nothing. With
    --until-caught-up it ends by itself, and fails at once if the stream cannot be used. One JSON object on stdout is
    the result.

    A changed program is refused, with the options. With --as-deployed, a start never depends on that: only `projection
    deploy`, `reload` and `adopt` change what is folded.
    """
    signals = _Signals()  # before anything that takes its time

    import asyncio

    from projection.cli.logs import configure_logs, end_logs
    from projection.engine.reloading import has_manifest
    from projection.model.files import is_folder
    from projection.model.settings import Settings
    from projection.ops.tracing.choice import secret_headers

    options = {"manifest": manifest, "stream": stream, "nats.url": url, "storage": storage, "http.listen": listen}
    settings = Settings.load(config, options)
    traced_by = _tracing()
    # A data folder that keeps what was deployed is taken first; without one, nothing is made for a wrong manifest.
    keeps = is_folder(settings.storage) and (as_deployed or not has_manifest(settings))
    deployed = None if keeps else _load_deployment(settings, None, as_deployed=as_deployed)
    configure_logs(settings, *secret_headers(os.environ))
    ways = {
        "as_deployed": as_deployed,
        "until_caught_up": until_caught_up,
        "new_build": new_build,
        "accept_fewer_messages": accept_fewer_messages,
    }
    with asyncio.Runner(loop_factory=_event_loop) as runner:
        ended = runner.run(_run(settings, deployed, signals, traced_by, **ways))
    print_json(asdict(ended.summary))
    for told in ended.held:
        note(f"note: {told}")
    for error in ended.halted:
        report(error)
    if ended.abandoned:
        note("note: a batch could not be committed in time; it was not acknowledged, and the next start folds it again")
        sys.stdout.flush()
        end_logs()
        os._exit(EXIT_ABANDONED)  # a thread still waits for the disk, and Python would wait for it
    if ended.halted:
        raise Exit(max(error.exit_status for error in ended.halted))


def _event_loop() -> asyncio.AbstractEventLoop:
    """Uvloop's where there is one for the system, which halves the cost of a request."""
    import asyncio

    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


def _tracing() -> type[NodeTracing] | None:
    """What exports traces, where OpenTelemetry's variables want them; loaded only then.

    Raises:
        ConfigurationError: a variable says what a node cannot do.
    """
    from projection.ops.tracing.choice import wants_traces

    if not wants_traces(os.environ):
        return None
    from projection.ops.tracing.exporting import NodeTracing

    return NodeTracing


@dataclass(frozen=True, slots=True)
class _Ended:
    summary: Summary
    halted: list[ProjectionError]
    abandoned: bool
    held: list[str]  # builds that have caught up and do not answer yet, and why


async def _run(
    settings: Settings,
    deployed: tuple[DeployedView, ...] | None,
    signals: _Signals,
    traced_by: type[NodeTracing] | None,
    *,
    as_deployed: bool,
    until_caught_up: bool,
    new_build: bool,
    accept_fewer_messages: bool,
) -> _Ended:
    import asyncio

    from projection.cli.connection import nats_connection
    from projection.engine.assembly import open_node
    from projection.engine.fault_log import log_lost_fault
    from projection.engine.tracing import UNTRACED
    from projection.ops.http.server import Listener, serving
    from projection.store.catalog import Catalog
    from projection.stream.connection import Nats

    asyncio.get_running_loop().set_exception_handler(log_lost_fault)
    async with AsyncExitStack() as opened:
        listener = None if until_caught_up else Listener.open(settings)
        if listener is not None:
            opened.enter_context(listener)
        catalog = await _once_there_is_room(
            lambda: opened.enter_context(Catalog.open(settings.storage, settings.node)), signals, once=until_caught_up
        )
        if deployed is None:
            deployed = _load_deployment(settings, catalog, as_deployed=as_deployed)
        tracing = None
        if traced_by is not None:
            tracing = opened.enter_context(traced_by.open(catalog.node_id, settings.stream))
        nats = await opened.enter_async_context(Nats.connecting_later(nats_connection(settings.nats)))
        chosen = {
            "new_build": new_build,
            "accept_fewer_messages": accept_fewer_messages,
            "follow": not until_caught_up,
        }
        node = await _once_there_is_room(
            lambda: opened.enter_context(
                open_node(settings, deployed, catalog, nats, tracing=tracing or UNTRACED, **chosen)
            ),
            signals,
            once=until_caught_up,
        )
        signals.stop_by(node.stop if listener is None else node.drain)
        if not until_caught_up:
            requests = None if tracing is None else tracing.requests
            service = await opened.enter_async_context(serving(listener, node, catalog, settings, requests))
            signals.reload_by(lambda: service.operations.begin(_reloaded(service.long)))
        with progress("folding", None, say=_log_progress) as advance:

            def show(now: Progress) -> None:
                advance(now.events, None if now.left is None else now.events + now.left)

            summary = await node.run(until_caught_up=until_caught_up, on_progress=show)
        if tracing is not None:
            tracing.left_s = node.left_s
        health = node.health
        held = [f"build {one.build} of view type {of} does not answer: {one.why}" for of, one in health.waiting.items()]
        return _Ended(summary, [*health.halts, *health.refused], node.abandoned, held)


async def _reloaded(operations: LongOperations) -> None:
    """Deploy what the manifest says by now; where that cannot be, everything goes on as before."""
    import structlog

    from projection.errors import ProjectionError
    from projection.store.audit import Author

    try:
        await operations.reload(Author("SIGHUP", "socket"))
    except ProjectionError as error:
        structlog.get_logger(component="node").error(
            "the manifest was not deployed", reason=error.message, hint=error.hint
        )


def _load_deployment(settings: Settings, catalog: Catalog | None, *, as_deployed: bool) -> tuple[DeployedView, ...]:
    from projection.engine.reloading import manifest_or_kept, recipes_kept
    from projection.lang.run.executors import Execution

    recipes = [] if catalog is None else recipes_kept(catalog)
    return tuple(manifest_or_kept(settings, recipes, Execution(settings.execution), as_deployed=as_deployed))


async def _once_there_is_room(open_: Callable[[], _Opened], signals: _Signals, *, once: bool) -> _Opened:
    """Open something as soon as the disk has room for it, as a node that runs waits with its commits.

    Args:
        open_: opens it, or raises and leaves nothing open.
        signals: end the wait, and the process with 0.
        once: whether to try once and no more.

    Raises:
        StorageError: it cannot be opened, for another reason than a full disk.
    """
    import asyncio

    import structlog

    from projection.errors import StorageError
    from projection.store.disk import FULL

    stopping, told = asyncio.Event(), ""
    signals.stop_by(stopping.set)
    while True:
        try:
            return open_()
        except StorageError as error:
            if once or error.code != FULL:
                raise
            if told != error.message:
                structlog.get_logger(component="node").error(
                    "the node waits for room on the disk", reason=error.message
                )
            told = error.message
        try:
            async with asyncio.timeout(_ROOM_EVERY_S):
                await stopping.wait()
        except TimeoutError:
            continue
        raise Exit(0)


def _log_progress(now: Figures) -> None:
    import structlog

    left_s = None if now.left_s is None else round(now.left_s)
    structlog.get_logger(component="node").info(
        "folding", events=now.done, of=now.of, events_per_s=round(now.rate), seconds_left=left_s
    )


def _nothing() -> None:
    pass


class _Signals:
    """The first signal asks the node to stop; the second ends the process, even if it hangs. SIGUSR1 does not count.

    One that comes while the node is still being opened is kept for it: nothing is waited for until then.
    """

    def __init__(self) -> None:
        self._asked = self._received = False
        self._stop: Callable[[], object] = _nothing
        self._reload: Callable[[], object] = _nothing
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._receive)  # not the loop's own way: that one waits for the loop
        if hasattr(signal, "SIGUSR1"):
            signal.signal(signal.SIGUSR1, lambda *_: self._ask())
        if hasattr(signal, "SIGHUP"):  # of a terminal that was closed, nohup has the process know nothing
            signal.signal(signal.SIGHUP, lambda *_: self._reload())

    def stop_by(self, stop: Callable[[], object]) -> None:
        """Say how to stop from now on; called in the event loop, in which it is done."""
        import asyncio

        loop = asyncio.get_running_loop()
        self._stop = lambda: loop.call_soon_threadsafe(stop)
        if self._asked:
            stop()

    def reload_by(self, reload: Callable[[], object]) -> None:
        """Say how to read the manifest anew from now on, which SIGHUP asks for; called in the event loop."""
        import asyncio

        loop = asyncio.get_running_loop()
        self._reload = lambda: loop.call_soon_threadsafe(reload)

    def _receive(self, number: int, _: object) -> None:
        if self._received:
            os._exit(EXIT_SIGNAL + number)
        self._received = True
        self._ask()

    def _ask(self) -> None:
        self._asked = True
        self._stop()
