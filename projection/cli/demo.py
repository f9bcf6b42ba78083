"""`projection demo`: the whole path on a generated shop, with a crash in the middle."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from projection.bundled import bundled
from projection.cli.console import print_json, progress
from projection.cli.parameters import Option
from projection.errors import ConfigurationError, ProjectionError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from projection.engine.replay import Replay
    from projection.stream.embedded import EmbeddedServer

EXAMPLES = ("projection demo", "projection demo --events 100000 --folder shop-demo")

_STREAM = "shop"
_BATCH = 500  # events in a commit: small, so that there is something to see, and something to interrupt
_LOOK_S = 0.02
_PATIENCE_S = 120.0
_COLUMNS = 5  # of a view in its table
_QUERY = (
    *("projection", "query", "shop_orders", "--tenant", "north"),
    *("--filter", 'status == "shipped" and total > 100', "--sort", "-total"),
    *("--select", "customer_id,pieces,total,placed_on", "--limit", "5"),
)


class DemoFailedError(ProjectionError):
    """The node did not do what the demo promises."""

    error_class = StorageError.error_class
    default_code = "demo"


def demo(
    *,
    events: Annotated[int, Option(metavar="N", min=1_000, help="How many events the shop makes.")] = 24_000,
    folder: Annotated[
        Path | None,
        Option(metavar="DIR", help="An empty folder to work in, which is kept (default: a temporary folder)."),
    ] = None,
) -> None:
    """Watch a node recover from a crash without any difference.

    Starts its own NATS server on a free loopback port, publishes the events of a generated shop, folds them in a node
    process, kills that with SIGKILL half way, starts it again, and compares all views with a replay of the events.
    Server and temporary folder are removed afterwards.
    """
    from rich.console import Console

    from projection.stream.embedded import EmbeddedServer

    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _end)
    with ExitStack() as stack:
        if folder is None:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="projection-demo-")))
        else:
            place = _empty(folder)
        console = Console(stderr=True, highlight=False)
        server = stack.enter_context(EmbeddedServer(place / "nats"))
        _Demo(place, server, console).run(events)
    _what_next(console, folder)


def _end(signum: int, _frame: object) -> None:
    """End as Ctrl-C does, that is, by way of everything that has to be ended and deleted."""
    raise SystemExit(128 + signum)


def _empty(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise ConfigurationError(f"option --folder: {str(folder)!r} is not empty")
        return folder.resolve()
    except OSError as error:
        raise ConfigurationError(f"option --folder: {str(folder)!r} cannot be used: {error.strerror}") from None


class _Demo:
    def __init__(self, place: Path, server: EmbeddedServer, console: Console) -> None:
        from projection.model.manifest import Manifest

        self.place = place
        self.server = server
        self.console = console
        self.manifest = bundled("projections/shop.yaml")
        self.events_file = place / "events.jsonl"
        self.data = place / "data"
        self.view_types = [entry.view_type for entry in Manifest.load(self.manifest).views]
        self.columns: dict[str, list[str]] = {}

    def run(self, count: int) -> None:
        """All steps; the last line on stdout is for machines."""
        from projection.testing.shop import shop_lines

        self._say(f"1. A NATS server with JetStream listens on {self.server.url}.")
        with self.events_file.open("wb") as file:
            file.writelines(line + b"\n" for line in shop_lines(count))
        self._load()
        views = ", ".join(self.view_types)
        self._say(f"3. A node folds them through three programs: {views}.")
        killed_at = self._run_and_kill(count)
        self._say(f"   kill -9 at event {killed_at:,} of {count:,}: the process is gone.")
        summary = self._run_to_the_end(count)
        self._say(
            f"4. Restarted, it continued after its last commit: {summary['events']:,} events more, "
            f"{summary['views']:,} views, {summary['parked']} parked."
        )
        replayed = self._compare()
        self._say(f"5. A replay of the file gives the same {len(replayed):,} views, byte for byte. Some of them:")
        self._show(replayed)
        self._say(f"6. A query, which takes the same form over HTTP: {shlex.join(_QUERY)}")
        self._query()
        print_json({"events": count, "killed_at": killed_at, "views": len(replayed), "identical_to_replay": True})

    def _say(self, text: str) -> None:
        self.console.print(text, style="bold" if text[0].isdigit() else None, soft_wrap=True)

    def _load(self) -> None:
        import asyncio

        from projection.model.envelope import Tenancy
        from projection.model.subjects import DEFAULT_TEMPLATE, SubjectTemplate
        from projection.stream.address import NatsConnection
        from projection.stream.connection import Nats
        from projection.stream.loading import FileLoading

        loading = FileLoading(self.events_file, SubjectTemplate.parse(DEFAULT_TEMPLATE), Tenancy())
        total, began = loading.check(), time.monotonic()

        async def publish() -> None:
            async with await Nats.connect(NatsConnection(self.server.url)) as nats:
                with progress("publishing", total) as advance:
                    await loading.publish(nats, _STREAM, create=True, progress=advance)

        asyncio.run(publish())
        rate = total / (time.monotonic() - began)
        self._say(f"2. {total:,} events of a generated shop are in the stream {_STREAM!r} ({rate:,.0f} events/s).")

    # the node, as a process of its own

    def _node(self) -> subprocess.Popen[bytes]:
        command = [
            *(sys.executable, "-m", "projection", "run", "--until-caught-up"),
            *("--manifest", str(self.manifest), "--stream", _STREAM),
            *("--url", self.server.url, "--storage", str(self.data)),
        ]
        environment = {**_without_settings(), "PROJECTION_BACK_PRESSURE__BATCH": str(_BATCH)}
        with (self.place / "node.log").open("ab") as log:
            return subprocess.Popen(command, cwd=self.place, env=environment, stdout=subprocess.PIPE, stderr=log)

    def _run_and_kill(self, count: int) -> int:
        node = self._node()
        try:
            for position in self._watch(node, count):
                if position >= count // 2:
                    break
        finally:
            node.kill()  # SIGKILL: nothing of the node gets to run any more
            node.communicate()
        return self._position()

    def _run_to_the_end(self, count: int) -> dict[str, Any]:
        node = self._node()
        try:
            for _ in self._watch(node, count):
                pass
            out, _ = node.communicate(timeout=_PATIENCE_S)
        finally:
            node.kill()
            node.communicate()
        if node.returncode != 0:
            raise DemoFailedError(
                f"the node ended with status {node.returncode}: {_last_line(self.place / 'node.log')}",
                hint="run `projection demo --folder DIR` to keep its log",
            )
        summary: dict[str, Any] = json.loads(out)
        return summary

    def _watch(self, node: subprocess.Popen[bytes], count: int) -> Iterator[int]:
        """The node's position, read from its stores while it writes them, until it ends or has read everything."""
        deadline = time.monotonic() + _PATIENCE_S
        with progress("folding", count) as advance:
            while node.poll() is None:
                position = self._position()
                advance(position)
                yield position
                if position >= count:
                    return
                if time.monotonic() > deadline:
                    raise DemoFailedError(f"the node is at event {position} of {count} after {_PATIENCE_S:.0f} s")
                time.sleep(_LOOK_S)

    def _position(self) -> int:
        """The last event that all view types have committed; 0 while there is nothing to read yet."""
        from projection.query.reading import serving_reader

        try:
            positions = []
            for view_type in self.view_types:
                with serving_reader(self.data, view_type) as reader:
                    positions.append(reader.position().scanned)
        except ProjectionError:
            return 0
        return min(positions)

    # the result

    def _compare(self) -> list[bytes]:
        """All views as a replay makes them, once it is sure that the node's are the same."""
        from projection.query.reading import serving_reader, view_lines

        replay = self._replay()
        replayed = list(view_lines({lane.view_type: lane.store for lane in replay.lanes}))
        with ExitStack() as stack:
            readers = {name: stack.enter_context(serving_reader(self.data, name)) for name in self.view_types}
            stored = list(view_lines(readers))
        if stored != replayed:
            first = next((pair for pair in zip(stored, replayed, strict=False) if pair[0] != pair[1]), (b"", b""))
            raise DemoFailedError(
                f"the node has {len(stored)} views, the replay {len(replayed)}; the first that differs: {first!r:.400}",
                hint="this must never happen; please report it",
            )
        return replayed

    def _replay(self) -> Replay:
        from projection.engine.deployment import load_deployment
        from projection.engine.replay import Replay
        from projection.model.envelope import Tenancy
        from projection.model.manifest import Manifest
        from projection.stream.file_feed import read_events

        replay = Replay(load_deployment(Manifest.load(self.manifest), Tenancy()), Tenancy())
        replay.run(data for _, data in read_events(self.events_file))
        self.columns = {lane.view_type: lane.deployed.program.telling_fields()[:_COLUMNS] for lane in replay.lanes}
        return replay

    def _show(self, lines: list[bytes]) -> None:
        """A table a view type: the second view of each tenant (the first ones are all alike), its numbers."""
        from rich.table import Column, Table

        found = [json.loads(line, parse_float=str) for line in lines]  # the digits as they stand
        for view_type, fields in self.columns.items():
            ids = (Column("tenant", no_wrap=True), Column("view id", no_wrap=True))  # they hold their table's cells
            table = Table(
                *ids,
                *(name.replace("_", " ") for name in fields),
                title=view_type,
                title_justify="left",
                title_style="bold",
            )
            for tenant in sorted({one["tenant_id"] for one in found}):
                mine = [one for one in found if one["view_type"] == view_type and one["tenant_id"] == tenant]
                for one in mine[1:2]:
                    table.add_row(tenant, one["view_id"], *(str(one["view"][name]) for name in fields))
            self.console.print(table)

    def _query(self) -> None:
        """Run the command as a user would."""
        command = [sys.executable, "-m", *_QUERY, "--storage", str(self.data)]
        ran = subprocess.run(command, check=False, cwd=self.place, env=_without_settings(), capture_output=True)
        if ran.returncode != 0:
            raise DemoFailedError(f"the query failed: {ran.stderr.decode(errors='replace')}")
        self.console.print(ran.stdout.decode(), markup=False, soft_wrap=True)


def _without_settings() -> dict[str, str]:
    """The environment without settings of the user's own, which would make it another demo."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PROJECTION_")}


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _what_next(console: Console, folder: Path | None) -> None:
    lines = ["What to type next:"]
    activate = Path(sys.executable).with_name("activate")
    if shutil.which("projection") is None and activate.exists():  # as after `make demo`, which activates no environment
        lines.append(f"  source {shlex.quote(str(activate))}")
    if folder is None:
        lines.append("  projection demo --folder shop-demo    # the same, and keeps all files")
    else:
        lines.append(f"  projection show shop_orders --tenant north --limit 3 --storage {folder / 'data'}")
        lines.append(f"  {shlex.join(_QUERY)} --storage {folder / 'data'}")
    lines.append(f"  projection check {bundled('projections')}")
    lines.append("  projection --help")
    console.print("\n".join(lines), soft_wrap=True)
