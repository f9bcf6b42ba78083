"""`projection sink` as a process: killed, cut off and started anew, and what it says of what is wrong."""

import json
import random
import re
import signal
import subprocess
import urllib.request
from contextlib import contextmanager
from secrets import randbits
from time import monotonic, sleep

import postgres_server
import psycopg
import pytest
from command_support import command, environment
from patience import WITHIN_S, wait_until
from query_support import IDS, TENANTS, Site, thing
from sink_support import views_in, views_of

from projection.model.ids import TenantId

NORTH = TenantId("north")
DICE = random.Random(7)
LONG_S = 120


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path / "data")
    site.store.lane.declare_changes(wanted=True)
    site.store.put({(NORTH, "a"): thing("x", DICE)})
    yield site
    site.close()


class Process:
    """A sink of its own process; what it has said so far is in `log`."""

    def __init__(self, folder, url, *options):
        self.log = folder / f"sink{randbits(32)}.log"
        self.result = self.log.with_suffix(".json")
        with self.log.open("wb") as out, self.result.open("wb") as result:
            self.process = subprocess.Popen(
                command("sink", url, "--storage", folder / "data", *options),
                stdout=result, stderr=out, cwd=folder, env=environment(),
            )  # fmt: skip

    @property
    def said(self):
        return self.log.read_text()

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(WITHIN_S)


@contextmanager
def process(*arguments):
    started = Process(*arguments)
    try:
        yield started
    finally:
        started.end(signal.SIGKILL)


def agree(site, url):
    try:
        return views_of(site) == views_in(url)
    except psycopg.Error:
        return False  # not there yet, or not yet again


def change(site, dice):
    chosen = {
        (dice.choice(TENANTS[:4]), dice.choice(IDS[:60])): None if dice.random() < 0.2 else thing("x", dice)
        for _ in range(dice.choice([1, 5, 40]))
    }
    site.store.put({of: view for of, view in chosen.items() if view or of in site.store.views})


def carry_out(seed, tmp_path, server, rounds):
    """Kill the sink, the database or both at random moments, while views change; in the end rows are views."""
    print(f"seed {seed}")
    dice = random.Random(seed)
    tmp_path.mkdir(exist_ok=True)
    site = Site(tmp_path / "data")
    site.store.lane.declare_changes(wanted=True)
    url = server.new_database()
    sink = Process(tmp_path, url)
    try:
        for _ in range(rounds):
            until = monotonic() + dice.uniform(0, 1.5)
            while monotonic() < until:
                change(site, dice)
                sleep(dice.uniform(0, 0.05))
            killed = dice.choice(["sink", "database", "both"])
            if killed != "database":
                sink.end(signal.SIGKILL)
            if killed != "sink":
                server.kill()
                change(site, dice)
                server.start()
            if killed != "database":
                sink = Process(tmp_path, url)
        site.store.put(
            {(TENANTS[0], IDS[60]): thing("x", dice)}
        )  # so that the last sink is at work when rows are views
        wait_until(lambda: agree(site, url), lambda: sink.said)
        assert sink.end() == 0
    finally:
        sink.end(signal.SIGKILL)
        site.close()


@pytest.fixture
def own_server():
    """A server that a test may kill."""
    if (programs := postgres_server.binaries()) is None:
        pytest.skip(postgres_server.NONE)
    with postgres_server.PostgresServer(programs) as server:
        yield server


def test_a_sink_and_a_database_that_are_killed_lose_nothing_and_double_nothing(tmp_path, own_server):
    carry_out(randbits(32), tmp_path, own_server, rounds=2)


@pytest.mark.long
def test_a_sink_and_a_database_that_are_killed_lose_nothing_at_length(tmp_path, own_server):
    count, end = 0, monotonic() + LONG_S
    while monotonic() < end:
        count += 1
        carry_out(randbits(32), tmp_path / str(count), own_server, rounds=8)
    print(f"{count} schedules")


def test_it_waits_for_a_database_that_is_away_and_says_so_once(site, tmp_path, own_server):
    url = own_server.new_database()
    own_server.stop()
    with process(tmp_path, url) as sink:
        wait_until(lambda: "the sink waits" in sink.said, lambda: sink.said)
        own_server.start()
        wait_until(lambda: agree(site, url), lambda: sink.said)
        wait_until(lambda: "the sink writes again" in sink.said, lambda: sink.said)
        assert sink.said.count("the sink waits") == 1
        assert sink.end() == 0
        assert {"rows_written": {"things": 1}, "scanned": {"things": 1}} == json.loads(sink.result.read_text())


def test_it_notices_that_the_data_folder_is_another_one(site, tmp_path, database):
    with process(tmp_path, database) as sink:
        wait_until(lambda: agree(site, database), lambda: sink.said)
        site.close()
        (tmp_path / "data").rename(tmp_path / "former")
        other = Site(tmp_path / "data")
        other.store.lane.declare_changes(wanted=True)
        for number in range(3):
            other.store.put({(NORTH, str(number)): thing("y", DICE)})
        wait_until(lambda: (NORTH, "2") in views_in(database), lambda: sink.said)
        other.close()


def test_metrics_are_answered_on_this_machine(site, tmp_path, database):
    with process(tmp_path, database, "--metrics-port", 0) as sink:
        wait_until(lambda: agree(site, database), lambda: sink.said)
        (address,) = re.findall(r"http://\S+/metrics", sink.said)

        def told():
            return urllib.request.urlopen(address, timeout=WITHIN_S).read().decode()

        wait_until(lambda: 'projection_sink_scanned{view_type="things"} 1.0' in told(), told)
        assert "projection_sink_connected 1.0" in told()
        assert 'projection_sink_lag_events{view_type="things"} 0.0' in told()
        assert 'projection_sink_rows_total{view_type="things"} 1.0' in told()


def test_the_lag_grows_while_the_database_is_away_and_ends_after_it(site, tmp_path, own_server):
    """What the page says to alert on: a sink that waits still tells how far the tables are behind the node."""
    url = own_server.new_database()
    with process(tmp_path, url, "--metrics-port", 0) as sink:
        wait_until(lambda: agree(site, url), lambda: sink.said)
        (address,) = re.findall(r"http://\S+/metrics", sink.said)

        def told():
            text = urllib.request.urlopen(address, timeout=WITHIN_S).read().decode()
            numbers = re.findall(r"^projection_sink_(\w+)\S* (\S+)$", text, re.MULTILINE)
            return {name: float(number) for name, number in numbers}

        wait_until(lambda: told()["scanned"] == 1 and told()["lag_seconds"] == 0, lambda: str(told()))
        own_server.stop()
        site.store.put({(NORTH, "0"): thing("y", DICE)})
        wait_until(lambda: told()["connected"] == 0, lambda: str(told()))
        for number in range(2):
            site.store.put({(NORTH, str(number)): thing("y", DICE)})
        wait_until(lambda: told()["lag_events"] == 3, lambda: str(told()))
        before = told()["lag_seconds"]
        assert before > 0
        wait_until(lambda: told()["lag_seconds"] > before, lambda: str(told()))
        assert told()["scanned"] == 1
        own_server.start()
        wait_until(lambda: agree(site, url), lambda: sink.said)
        wait_until(lambda: told()["lag_events"] == told()["lag_seconds"] == 0, lambda: str(told()))
