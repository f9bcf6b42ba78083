"""A node with its NATS server in which causes of alerts are provoked, and where commands of runbooks are run."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from time import sleep
from typing import TYPE_CHECKING, Self

import httpx
import nats
import pytest
from container_support import CHECKOUT
from patience import WITHIN_S, wait_until
from prometheus_client.parser import text_string_to_metric_families

from projection.stream.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runbooks import Commands

STREAM = "events"
LOOK_S = 0.1
SMALL_DISK = "12m"
STRICT = """\
proj 1
projection pages

event Visited { page: string(40), seconds: int }

view Page { visits: int = 0, seconds: int = 0 }

on Visited as e to e.page
  when e.seconds < 0 => fail("BACKWARDS", "{e.seconds} s is no time to stay")
  else =>
    let page = view ?? {};
    page with { visits += 1, seconds += e.seconds }
"""
CORRECTED = STRICT.replace(
    '  when e.seconds < 0 => fail("BACKWARDS", "{e.seconds} s is no time to stay")\n  else =>', "  =>"
)
NEW = STRICT.replace("visits += 1,", "visits += 2,")

# What a node does before it starts, put in from outside.
HANGING = """
import pathlib, time
from projection.store.lmdb_store import LmdbLaneStore
commit = LmdbLaneStore.commit
def hanging(*args, **more):
    while pathlib.Path("hang").exists():
        time.sleep(0.05)
    return commit(*args, **more)
LmdbLaneStore.commit = hanging
"""
SLOW_CLOCK = """
import time
right = time.time
time.time = lambda: right() - 300
"""
SMALL_MAP = """
from projection.store import lmdb_opening
lmdb_opening.MAP_SIZE = lmdb_opening.MAX_MAP_SIZE = 1 << 20  # before the stores' own module takes them
"""
HELD_LOOP = """
import signal, time
signal.signal(signal.SIGUSR2, lambda *_: time.sleep(8))
"""


@dataclass
class Provoked:
    """A cause of an alert, and how it ends."""

    page: str  # the runbook
    provoke: Callable[[Site], None]
    is_there: Callable[[Site], bool]
    mend: Callable[[Site], None] = lambda _: None  # what no command of the page does
    instruments: str = ""  # what the node does before it starts
    manifest: dict[str, object] = field(default_factory=dict)  # more for its view type
    has_small_disk: bool = False
    way: int = 0  # of what to do, the n-th other way
    ends: bool = True  # whether the node's metrics say so: what is counted over time does not end at once

    @property
    def name(self) -> str:
        return self.page + (f", way {self.way}" if self.way else "")


class Site:
    """See the module."""

    def __init__(self, folder: Path, provoked: Provoked) -> None:
        self.folder, self._provoked = folder, provoked
        self.server = EmbeddedServer(folder / "nats")
        self._node: subprocess.Popen[bytes] | None = None
        self._begin = 0  # of the present node's lines in the log

    @classmethod
    def of(cls, provoked: Provoked, folder: Path) -> Self:
        """A site with a strict program, of which nothing runs yet."""
        shutil.copy(CHECKOUT / "deploy/example/manifest.yaml", folder)
        (folder / "pages.proj").write_text(STRICT)
        entry = {"program": "pages.proj", **provoked.manifest}
        (folder / "manifest.yaml").write_text(json.dumps({"manifest": 1, "views": {"pages": entry}}))
        (folder / "data").mkdir()
        return cls(folder, provoked)

    def __enter__(self) -> Self:
        self.server.start()
        self.publish("home")
        self.start(self._provoked.instruments)
        self.until(lambda: self.value("projection_ready") == 1)
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.server.stop()

    def start(self, instruments: str = "") -> None:
        """Start the node, and wait until it answers."""
        program = f"{instruments}\nfrom projection.cli.main import main\nmain()"
        command = [sys.executable, "-c", program, "run"]
        if self._provoked.has_small_disk:
            if os.geteuid() != 0 or shutil.which("nsenter") is None:
                pytest.skip("a small disk takes root on Linux, with unshare and nsenter")
            mount = f'mount -t tmpfs -o size={SMALL_DISK} none data && exec "$@"'
            command = ["unshare", "--mount", "sh", "-c", mount, "sh", *command]
        log = self.folder / "node.log"
        self._begin = log.stat().st_size if log.exists() else 0
        with log.open("ab") as file:
            self._node = subprocess.Popen(command, cwd=self.folder, env=self._environment, stdout=file, stderr=file)
        self.until(lambda: self._address() is not None)

    def kill(self, signum: signal.Signals = signal.SIGKILL) -> None:
        if self._node is not None:
            self._node.send_signal(signum)
            self._node.wait(WITHIN_S)
            self._node = None

    def signal(self, signum: signal.Signals) -> None:
        assert self._node is not None
        self._node.send_signal(signum)

    def publish(self, *pages: str, seconds: int = 20) -> None:
        """Publish a visit of each page, in order."""
        event = {"tenant_id": "north", "aggregate_type": "visit", "aggregate_id": "1", "event_type": "Visited"}
        at = {"timestamp": "2026-03-02T08:00:00Z"}
        lines = (json.dumps({**event, **at, "payload": {"page": page, "seconds": seconds}}) for page in pages)
        (self.folder / "events.jsonl").write_text("".join(line + "\n" for line in lines))
        self.run("projection load events.jsonl --create")

    def run(self, command: str, status: int = 0) -> str:
        """Run a command as an operator types it, where the data folder is."""
        inside = ["nsenter", "--target", str(self._node.pid), "--mount"] if self._is_apart and self._node else []
        shell = [*inside, "bash", "-euo", "pipefail", "-c", f'cd "$1"; {command}', "bash", str(self.folder)]
        ran = subprocess.run(
            shell, capture_output=True, text=True, check=False, env=self._environment, timeout=WITHIN_S
        )
        assert status == ran.returncode, f"{command}: {ran.returncode}\n{ran.stdout}\n{ran.stderr}\n{self.told()}"
        return ran.stdout

    def follow(self, block: Commands) -> None:
        """Run a block of a page."""
        for number, line in enumerate(block.lines, 1):
            print(f"$ {line}", self.run(line, block.status if number == len(block.lines) else 0), sep="\n")

    def values(self, name: str) -> list[tuple[dict[str, str], float]]:
        """The samples of a metric, with their labels; none where nobody answers."""
        with suppress(httpx.HTTPError):
            text = httpx.get(f"{self._address()}/metrics", timeout=WITHIN_S, trust_env=False).text
            families = text_string_to_metric_families(text)
            return [(one.labels, one.value) for family in families for one in family.samples if one.name == name]
        return []

    def value(self, name: str, **labels: str) -> float | None:
        """The one sample with these labels among others."""
        found = [value for of, value in self.values(name) if labels.items() <= of.items()]
        return found[0] if found else None

    def until(self, condition: Callable[[], bool]) -> None:
        def holds() -> bool:
            if condition():
                return True
            assert self._node is None or self._node.poll() is None, self.told()
            sleep(LOOK_S)
            return False

        wait_until(holds, self.told)

    def told(self) -> str:
        return (self.folder / "node.log").read_text()[-3000:] if (self.folder / "node.log").exists() else ""

    def delete_consumers(self) -> None:
        """As somebody does who does not know whose they are."""

        async def delete() -> None:
            client = await nats.connect(self.server.url)
            manager = client.jsm(timeout=WITHIN_S)
            for one in await manager.consumers_info(STREAM):
                await manager.delete_consumer(STREAM, one.name)
            await client.close()

        asyncio.run(delete())

    @property
    def _is_apart(self) -> bool:
        return self._provoked.has_small_disk

    @property
    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("PROJECTION_")}
        path = f"{CHECKOUT / '.venv/bin'}:{os.path.dirname(sys.executable)}:{own['PATH']}"  # noqa: PTH120
        settings = {
            "PROJECTION_STORAGE": str(self.folder / "data"),
            "PROJECTION_NATS__URL": self.server.url,
            "PROJECTION_HTTP__LISTEN": "127.0.0.1:0",
        }
        return {**own, **settings, "PATH": path, "COLUMNS": "120"}

    def _address(self) -> str | None:
        """Where the present node says that it answers."""
        with (self.folder / "node.log").open("rb") as log:
            log.seek(self._begin)
            lines = [
                json.loads(line) for line in log.read().splitlines() if line.startswith(b"{") and line.endswith(b"}")
            ]
        return next((line["url"] for line in lines if line["event"] == "serving"), None)


# --- causes ---------------------------------------------------------------------------------------------------------


def lose_the_node(site: Site) -> None:
    site.kill()


def lose_nats(site: Site) -> None:
    site.server.kill()


def publish_what_fails(site: Site) -> None:
    site.publish("home", seconds=-5)


def hang(site: Site) -> None:
    (site.folder / "hang").touch()
    for _ in range(3):  # one is being committed, one was folded meanwhile, and one waits
        site.publish("home", "help")


def goes_on(site: Site) -> None:
    (site.folder / "hang").unlink()


def restart(site: Site) -> None:
    (site.folder / "hang").unlink(missing_ok=True)
    site.kill()
    site.start()
    site.publish("home")


def correct_the_program(site: Site) -> None:
    (site.folder / "pages.proj").write_text(CORRECTED)


def fill_the_disk(site: Site) -> None:
    site.run("cat /dev/zero > data/ballast || true")
    site.publish("home", "help")


def make_room(site: Site) -> None:
    site.run("rm data/ballast")


def fill_most_of_the_disk(site: Site) -> None:
    site.run("projection rebuild pages")
    site.until(lambda: site.value("projection_build_serves", build="2") == 1)
    site.run("head -c 10M /dev/zero > data/ballast")


def fill_the_map(site: Site) -> None:
    count = 0
    while not map_is_filled(site):
        site.publish(*(f"page {number}" for number in range(count, count + 250)))
        count += 250
        site.until(lambda: map_is_filled(site) or not is_behind(site))


def map_is_filled(site: Site) -> bool:
    return (site.value("projection_store_map_fill_ratio", build="1") or 0) > 0.8


def lose_consumers(site: Site) -> None:
    for times in range(5):
        site.until(lambda: site.value("projection_ready") == 1)
        before = site.value("projection_stream_reopenings_total") or 0
        site.delete_consumers()
        site.publish(f"page {times}")
        site.until(lambda before=before: (site.value("projection_stream_reopenings_total") or 0) > before)


def deploy_and_wait(site: Site) -> None:
    (site.folder / "pages.proj").write_text(NEW)
    site.run("projection deploy --promote manual")


def hold_the_loop(site: Site) -> None:
    site.signal(signal.SIGUSR2)


def is_parked(site: Site) -> bool:
    serving = {of["build"] for of, value in site.values("projection_build_serves") if value == 1}
    return any(value > 0 and of["build"] in serving for of, value in site.values("projection_parked_events"))


def is_halted(site: Site) -> bool:
    serving = {of["build"] for of, value in site.values("projection_build_serves") if value == 1}
    return any(value == 1 and of["build"] in serving for of, value in site.values("projection_halted"))


def is_held(site: Site) -> bool:
    return any(value == 1 for _, value in site.values("projection_build_held"))


def is_behind(site: Site) -> bool:
    return any(value < 1 for _, value in site.values("projection_build_progress_ratio"))


def is_nearly_full(site: Site) -> bool:
    size = site.value("projection_disk_size_bytes")
    return bool(size) and (site.value("projection_disk_free_bytes") or 0) / size < 0.15


def clocks_are_apart(site: Site) -> bool:
    return abs(site.value("projection_log_clock_offset_seconds") or 0) > 200


def clock_and_event(site: Site) -> None:
    site.until(lambda: site.value("projection_ready") == 1)
    site.publish("home")


PROVOKED = [
    Provoked("node-down", lose_the_node, lambda site: not site.values("projection_ready"), lambda site: site.start()),
    Provoked(
        "not-ready", lose_nats, lambda site: site.value("projection_ready") == 0, lambda site: site.server.start()
    ),
    Provoked("halted", publish_what_fails, is_halted, correct_the_program, manifest={"on_error": "halt"}),
    Provoked("stalled", hang, is_behind, restart, instruments=HANGING),
    Provoked(
        "lagging", hang, lambda site: (site.value("projection_lag_seconds") or 0) > 3, goes_on, instruments=HANGING
    ),
    Provoked("events-parked", publish_what_fails, is_parked),
    Provoked("events-parked", publish_what_fails, is_parked, correct_the_program, way=1),
    Provoked("events-parked", publish_what_fails, is_parked, correct_the_program, way=2),
    Provoked(
        "circuit-open",
        fill_the_disk,
        lambda site: site.value("projection_circuit_open", circuit="commit") == 1,
        make_room,
        has_small_disk=True,
    ),
    Provoked("disk-filling", fill_most_of_the_disk, is_nearly_full, make_room, has_small_disk=True),
    Provoked("map-filling", fill_the_map, map_is_filled, instruments=SMALL_MAP, ends=False),
    Provoked(
        "stream-reopenings",
        lose_consumers,
        lambda site: (site.value("projection_stream_reopenings_total") or 0) > 3,
        ends=False,
    ),
    Provoked("build-stuck", deploy_and_wait, is_held),
    Provoked("build-stuck", deploy_and_wait, is_held, way=2),
    Provoked("log-clock", clock_and_event, clocks_are_apart, restart, instruments=SLOW_CLOCK),
    Provoked(
        "event-loop-stalls",
        hold_the_loop,
        lambda site: (site.value("projection_event_loop_stalls_total") or 0) > 0,
        instruments=HELD_LOOP,
        ends=False,
    ),
]
