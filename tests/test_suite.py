"""What the tests run on: samples, numbers of examples, processor time, commands that start warm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import sampling
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import WITHIN_S
from processor_time import RECORDED
from sampling import ALL, DEAR_PART, LEAST, PART, SEED, TIMES, rotate, sampled, scale_examples
from warm_commands import warm_commands

TESTS = Path(__file__).parent
QUIET = [
    f"-pno:{name}" for name in ("cacheprovider", "randomly", "asyncio", "anyio", "schemathesis", "hypothesispytest")
]


# --- samples ----------------------------------------------------------------------------------------------------------


def short(cases: list) -> set[int]:
    return {case for case in cases if isinstance(case, int)}


def test_a_sample_has_its_size_follows_its_seed_and_leaves_the_rest_to_the_long_run(monkeypatch):
    found = set()
    for seed in range(50):
        monkeypatch.setenv(SEED, str(seed))
        cases = sampled(range(20), 4)
        assert cases == sampled(range(20), 4)
        assert len(short(cases)) == 4
        rest = [case for case in cases if not isinstance(case, int)]
        assert {mark.name for case in rest for mark in case.marks} == {"long"}
        assert short(cases) | {case.values[0] for case in rest} == set(range(20))
        found |= short(cases)
    assert found == set(range(20)), "each comes sooner or later"


def test_a_sample_may_be_all(monkeypatch):
    monkeypatch.setenv(SEED, ALL)
    assert list(range(20)) == sampled(range(20), 4)
    monkeypatch.setenv(SEED, "1")
    assert list(range(4)) == sampled(range(4), 4)


@pytest.mark.parametrize(("own", "in_short", "in_long"), [(200, 200 // PART, 200 * TIMES), (20, LEAST, 40), (5, 5, 10)])
@pytest.mark.parametrize("long", [False, True])
def test_a_property_test_tries_so_many_examples(request, own, in_short, in_long, long):
    tried = []

    @settings(max_examples=own, database=None)
    @given(st.integers())
    def test_it(number):
        tried.append(number)

    item = pytest.Function.from_parent(request.node.parent, name="test_it", callobj=test_it)
    scale_examples([item, item], long=long)  # as of two parameters
    assert item.get_closest_marker("property")
    test_it()
    assert len(tried) == (in_long if long else in_short)


class Item:
    """Of a test that is dear, or is not."""

    def __init__(self, nodeid):
        self.nodeid, self.markers = nodeid, []

    def add_marker(self, name):
        self.markers.append(name)


def test_of_the_dear_tests_few_are_short_and_others_for_each_seed(monkeypatch, tmp_path):
    (tmp_path / "dear.txt").write_text("tests/test_a.py::test_dear\n")
    monkeypatch.setattr(sampling, "DEAR", tmp_path / "dear.txt")
    found = []
    for seed in range(40):
        monkeypatch.setenv(SEED, str(seed))
        dear = [Item(f"tests/test_a.py::test_dear[{number}]") for number in range(20)]
        cheap = [Item("tests/test_a.py::test_dear_one"), Item("tests/test_b.py::test_dear")]
        rotate([*dear, *cheap])
        assert [[], []] == [one.markers for one in cheap]
        found.append([one.nodeid for one in dear if not one.markers])
    assert 40 * 20 // DEAR_PART * 0.6 < sum(map(len, found)) < 40 * 20 // DEAR_PART * 1.4
    assert 20 == len({one for ids in found for one in ids}), "each comes sooner or later"
    monkeypatch.setenv(SEED, ALL)
    rotate(dear := [Item("tests/test_a.py::test_dear")])
    assert [[]] == [one.markers for one in dear]


def test_dear_tests_are_tests():
    for line in sampling.DEAR.read_text().splitlines():
        path, name, *_ = line.split("::")
        assert name in (TESTS.parent / path).read_text(), line


def test_no_two_files_of_tests_have_one_name():
    """Pytest imports them by it, so that a run with both would end before its first test; so are they named by pages."""
    names = Counter(path.name for folder in (TESTS, TESTS.parent / "projections") for path in folder.rglob("test_*.py"))
    assert [] == [name for name, count in names.items() if count > 1]


def test_a_run_has_one_seed():
    assert os.environ[SEED]
    assert f"{SEED}={os.environ[SEED]}" in sampling.header()


def test_a_process_that_a_test_starts_need_not_compile_the_package():
    code = "import sys; print(sys.dont_write_bytecode)"
    assert b"False\n" == subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout


# --- processor time ---------------------------------------------------------------------------------------------------

CONFTEST = """
from processor_time import ProcessorTime

def pytest_configure(config):
    config.pluginmanager.register(ProcessorTime())
"""
BUSY = """
import subprocess, sys

WORK = "from time import process_time\\nwhile process_time() < 0.5: pass"

def test_that_works():
    from time import process_time
    end = process_time() + 0.25
    while process_time() < end:
        pass

def test_whose_child_works():
    subprocess.run([sys.executable, "-c", WORK], check=True)

def test_that_does_nothing():
    pass
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "workers"])
def test_a_run_ends_with_its_processor_time_and_the_slowest_tests(tmp_path, workers):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_busy.py").write_text(BUSY)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *QUIET, *workers, "-c", "/dev/null", "--rootdir", tmp_path, tmp_path],
        env={**environment, "PYTHONPATH": str(TESTS), RECORDED: str(tmp_path / "dear.txt")},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    dear = (tmp_path / "dear.txt").read_text()
    assert "test_busy.py::test_whose_child_works\n" in dear
    assert "test_that_does_nothing" not in dear
    *_, first, second, total = ended.stdout.splitlines()
    assert first.endswith("test_busy.py::test_whose_child_works")
    assert second.endswith("test_busy.py::test_that_works")
    assert float(first.split()[0]) >= 0.5
    assert float(second.split()[0]) >= 0.25
    assert total.startswith("processor time of the whole run: 0 min ")
    assert int(total.split()[-2]) >= 1


# --- warm commands ----------------------------------------------------------------------------------------------------


def in_a_shell(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{warm_commands().folder}:{os.environ['PATH']}"}
    return subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def test_a_warm_command_is_the_command(tmp_path):
    """Its folder, its environment, its three files, its status."""
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "p.proj").write_text("proj 1\n")
    ended = in_a_shell("cd below && projection check p.proj; echo $?; projection repl 2>&1 <<< '1 + 2'", tmp_path)
    assert "p.proj" in ended.stdout + ended.stderr
    assert ["1", "3"] == [line for line in ended.stdout.splitlines() if line in ("1", "3")]
    told = warm_commands().run(["projection", "nonsense"], tmp_path, {"COLUMNS": "80"})
    assert (2, "") == (told.returncode, told.stdout)
    assert "nonsense" in told.stderr
    merged = warm_commands().run(["projection", "nonsense"], tmp_path, {"COLUMNS": "80"}, merged=True)
    assert (2, told.stderr, "") == (merged.returncode, merged.stdout, merged.stderr)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_warm_command_gets_the_signals_that_are_meant_for_it(tmp_path, signum):
    with subprocess.Popen(
        [warm_commands().folder / "projection", "repl"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as repl:
        repl.stdin.write(b"40 + 2\n")
        repl.stdin.flush()
        assert b"42" in repl.stdout.readline()
        assert b"gas" in repl.stdout.readline()
        repl.send_signal(signum)
        # Ctrl-C gives up the line that is being typed, and ends a command that has not come to asking for one.
        goes_on = repl.stdout.readline() == b"\n"
        assert not goes_on or signum == signal.SIGINT
        if goes_on:
            repl.stdin.write(b"1 + 2\n")
        out, _ = repl.communicate(timeout=WITHIN_S)  # the command itself has ended: it held the other end of the pipe
    assert goes_on == out.startswith(b"3\n")
    assert b"Traceback" not in out
