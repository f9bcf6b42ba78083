"""The example projections and their pages: what stands there is what happens, byte for byte."""

from __future__ import annotations

import re
import shutil

import pytest
from example_pages import PAGES, run, with_outputs
from example_support import CHECKOUT, PROJECTIONS, fold

from projection.lang.program import Program
from projection.lang.values.codec import largest
from projection.model.documents import read_document
from projection.model.manifest import Manifest, Policy

FOLDERS = sorted(path.parent for path in PROJECTIONS.rglob("manifest.yaml"))
PROGRAMS = sorted(PROJECTIONS.rglob("*.proj"))


def name_of(path):
    return str(path.relative_to(PROJECTIONS))


def test_there_are_the_folders_that_the_index_speaks_of():
    listed = re.findall(r"^\|.*\| \[(\w+)\]", (PROJECTIONS / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == [folder.name for folder in FOLDERS]
    assert len(PAGES) == len(FOLDERS) + 1


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_the_snapshot_of_an_example_is_what_a_replay_of_its_events_comes_to(folder, tmp_path):
    events = (folder / "events.jsonl").read_bytes().splitlines()
    folded = fold(folder / "manifest.yaml", events)
    copy = shutil.copy(folder / "__snapshots__" / "events.scenario.views", tmp_path / "snapshot.yaml")
    snapshot = read_document(copy, exact=True)
    tenants = snapshot.get("tenants", {}) | {"": snapshot.get("views", {})}
    assert folded.views == {
        view_type: {
            (tenant, id_): view for tenant, of in tenants.items() for id_, view in of.get(view_type, {}).items()
        }
        for view_type in folded.views
    }
    parked = [event.code for events in folded.parked.values() for event in events]
    assert sorted(parked) == sorted(event["code"] for event in snapshot.get("parked", []))
    assert 10 <= len(events) <= 200


@pytest.mark.parametrize("path", PROGRAMS, ids=name_of)
def test_a_program_shows_how_it_is_tested(path):
    assert Program.load(path).checked.tests


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_shows_what_its_commands_print(page):
    assert page.read_text() == with_outputs(page), "run `python tests/examples/example_pages.py`"


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_the_page_of_an_example_ends_with_what_one_would_ask_it(folder):
    page = folder / "README.md"
    _, asked, questions = page.read_text().partition("\n## Ask it\n")
    assert asked
    assert "\n## " not in questions
    assert 2 <= questions.count("\n$ projection query ") <= 4


def test_every_program_is_laid_out_covered_as_a_whole_and_warned_of_by_nobody():
    """Fails with what the command prints."""
    run("projection fmt --check projections", CHECKOUT)
    run("projection check --strict projections", CHECKOUT)
    run("projection test --coverage --fail-under 100 projections", CHECKOUT)


def test_a_command_that_fails_is_noticed():
    with pytest.raises(AssertionError, match="no_such_file"):
        run("projection replay no_such_file.jsonl", PROJECTIONS)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_a_page_quotes_stands_in_a_program_and_its_links_lead_somewhere(page):
    text = page.read_text()
    programs = "".join(path.read_text() for path in sorted(page.parent.glob("*.proj")))
    for quoted in re.findall(r"^```proj\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        assert quoted in programs
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("path", PROGRAMS, ids=name_of)
def test_a_program_says_what_it_is_and_its_schema_keeps_its_views_small(path):
    program = Program.load(path)
    assert program.checked.doc
    assert program.checked.indexes
    # Where the schema bounds the view, no view is too large.
    assert largest(program.checked.view) <= program.limits.view_bytes


def test_the_shop_is_deployed_with_the_programs_of_its_folders():
    shop = Manifest.load(PROJECTIONS / "shop.yaml")
    alone = [view for folder in FOLDERS for view in Manifest.load(folder / "manifest.yaml").views]
    assert tuple(view for view in alone if view.view_type.startswith("shop_")) == shop.views
    assert {view.on_error for view in shop.views} == {Policy.PARK}
