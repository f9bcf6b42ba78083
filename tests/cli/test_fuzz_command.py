"""`projection fuzz`: what it says, what it ends with, and what it leaves behind."""

from __future__ import annotations

import re

import pytest
from command_support import projection, refused, started_anew

PRICES = """\
proj 1
projection prices

event Priced { sku: int, each?: int }

view Price { each: int }

on Priced as e to "{e.sku}" => { each: e.each! }
"""
COUNTS = """\
proj 1
projection counts

event Counted { id: int }

view Count { n: int = 0 }

on Counted as e to "{e.id}" when view == none => { n: 1 } else => view with { n: rem(view.n + 1, 100) }
"""
FEW = ("--events", "80", "--seed", "1")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "prices.proj").write_text(PRICES)
    (tmp_path / "counts.proj").write_text(COUNTS)
    return tmp_path


def test_a_fault_is_shown_with_its_events_and_ends_with_1(folder):
    ended = projection("fuzz", "prices.proj", *FEW, folder=folder)
    assert 1 == ended.returncode
    head, title, place, event, *_ = ended.stdout.splitlines()
    assert re.fullmatch(r"prices\.proj as prices: \d+ events in \d+ sequences, seed 1", head)
    assert "fault: R704: `e.each` is none" == title
    assert '  --> prices.proj:8:40: on Priced as e to "{e.sku}" => { each: e.each! }' == place
    assert event.startswith('  {"type": "Priced", "data": {"sku": ')
    assert ended.stderr.startswith("1 fault, ")
    assert ["counts.proj", "prices.proj"] == sorted(path.name for path in folder.iterdir())


def test_without_a_seed_one_is_chosen_and_printed(folder):
    one = projection("fuzz", "counts.proj", "--events", "10", folder=folder)
    assert re.fullmatch(r"counts\.proj as counts: \d+ events in \d+ sequences, seed \d+", one.stdout.splitlines()[0])


def test_notes_fail_only_where_that_is_asked_for(folder):
    ended = projection("fuzz", "counts.proj", *FEW, folder=folder)
    assert (0, "0 faults, 1 note\n") == (ended.returncode, ended.stderr)
    assert "note: not idempotent: " in ended.stdout
    assert 1 == projection("fuzz", "counts.proj", *FEW, "--strict", folder=folder).returncode


def test_each_finding_is_written_as_a_scenario_that_holds_today(folder):
    ended = projection("fuzz", ".", *FEW, "--write", "found.scenario.yaml", folder=folder)
    written = sorted(path.name for path in folder.glob("*.scenario.yaml"))
    assert {"found.scenario.yaml", "found-2.scenario.yaml"} <= set(written)
    assert len(written) == ended.stderr.count("wrote ")
    assert 'program: "prices.proj"' in "".join((folder / name).read_text() for name in written)
    tested = projection("test", folder=folder)
    assert (0, f"{len(written)} passed, 0 failed\n") == (tested.returncode, tested.stderr), tested.stdout
    (folder / "prices.proj").write_text(PRICES.replace("e.each!", "e.each ?? 0"))
    assert 1 == projection("test", folder=folder).returncode
    again = projection("fuzz", "counts.proj", *FEW, "--write", "found.scenario.yaml", folder=folder)
    assert 2 == again.returncode
    assert "found.scenario.yaml cannot be written: File exists" in again.stderr


def test_a_manifest_gives_its_limits_and_one_of_its_view_types_can_be_named(folder):
    (folder / "manifest.yaml").write_text(
        "manifest: 1\nviews:\n  a: {program: prices.proj}\n  b: {program: counts.proj, limits: {gas: 20}}\n"
    )
    ended = projection("fuzz", "manifest.yaml", "b", *FEW, "--write", "deep/b.scenario.yaml", folder=folder)
    assert 2 == ended.returncode
    assert "deep/b.scenario.yaml cannot be written: No such file or directory" in ended.stderr
    assert ended.stdout.startswith("counts.proj as b: ")
    assert "fault: O901: out of gas: the limit is 20" in ended.stdout
    assert "prices.proj" not in ended.stdout
    refused(projection("fuzz", "manifest.yaml", "c", folder=folder), 2, "no view type 'c'", "it has: a, b")


def test_a_search_can_be_ended_by_time(folder):
    ended = projection("fuzz", "counts.proj", "--seconds", "0", folder=folder)
    assert (0, True) == (ended.returncode, "time was up" in ended.stderr)


def test_a_file_that_is_no_scenario_is_refused(folder):
    refused(projection("fuzz", "counts.proj", "--write", "x.yaml", folder=folder), 2, "x.yaml", ".scenario.yaml")
    assert [] == list(folder.glob("*.yaml"))


def test_without_hypothesis_it_says_what_to_install(folder):
    (folder / "sitecustomize.py").write_text(
        "from importlib import util\nfound = util.find_spec\n"
        "util.find_spec = lambda name, *more: None if name == 'hypothesis' else found(name, *more)\n"
    )
    ended = started_anew("fuzz", "counts.proj", folder=folder, PYTHONPATH=str(folder))
    refused(ended, 2, "hypothesis, which is not installed", "projection-node[testing]")
