"""What the pages list is what there is: tables, options, layers, doors, dependencies, links."""

from __future__ import annotations

import re
import shutil
import tomllib
from typing import TYPE_CHECKING

import pytest
import yaml
from docs_pages import CHECKOUT, PAGES, anchors, blocks, cells, links, section, table
from docs_tables import TABLES, Table, command_parameters

from projection.model.event_format.declaration import EventFormat
from projection.model.manifest import Manifest
from projection.model.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

PYPROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
UPDATE = "run `python tests/docs/update.py`, and read what it changes"


@pytest.mark.parametrize("listed", TABLES, ids=lambda listed: listed.name)
def test_a_table_that_comes_from_the_code_is_up_to_date(listed: Table) -> None:
    assert listed.written() == table(listed.page, listed.name), UPDATE


@pytest.mark.parametrize("listed", TABLES, ids=lambda listed: listed.name)
def test_every_row_of_a_table_says_what_it_is_about(listed: Table) -> None:
    silent = [
        row[0]
        for row in table(listed.page, listed.name)
        if listed.head[-1] in ("meaning", "what to do") and not row[-1]
    ]
    assert [] == silent


def test_every_command_is_described_with_all_its_arguments_and_options() -> None:
    page = CHECKOUT / "docs/commands.md"
    described = {}
    for command in command_parameters():
        text = section(page, f"## projection {command}")
        items = (line for line in text.splitlines() if line.startswith("- "))
        described[command] = sorted(
            name for item in items for name in re.findall(r"`(--[a-z-]+|[A-Z_]+)(?: [A-Z]+)?`", item.partition(":")[0])
        )
    assert {command: sorted(names) for command, names in command_parameters().items()} == described


def test_commands_that_the_page_lists_as_readers_of_a_stream_can_name_one() -> None:
    part = section(CHECKOUT / "docs/operating.md", "### The user of commands that read the stream")
    readers = re.findall(r"`(\w+)`", part.partition("read through their own consumer")[0])
    assert {"dump", "inspect", "why"} < set(readers)
    assert [] == [name for name in readers if "--stream" not in command_parameters()[name]]


def test_the_layers_of_the_architecture_page_are_those_that_the_linter_holds() -> None:
    (contract,) = (one for one in PYPROJECT["tool"]["importlinter"]["contracts"] if one["type"] == "layers")
    (block,) = (block for block in blocks(CHECKOUT / "docs/architecture.md") if "layers" in block)
    shown = [re.split(r"  +", line)[0] for line in block.text.splitlines()]
    assert [layer.replace("projection.", "") for layer in contract["layers"]] == shown


def test_the_doors_of_the_architecture_page_are_those_that_the_linter_holds() -> None:
    (contract,) = (one for one in PYPROJECT["tool"]["importlinter"]["contracts"] if one["type"] == "forbidden")
    doors = {
        (library, f"{module.replace('.', '/')}.py".replace("**.py", ""))  # a module, or all of a package
        for module, _, library in map(str.split, contract["ignore_imports"])
    }
    text = section(CHECKOUT / "docs/architecture.md", "## Ports and doors")
    assert doors == set(re.findall(r"(\w+)\s+behind\s+`([\w/]+(?:\.py|/))`", text))


def test_every_dependency_of_users_of_the_build_and_of_the_benchmarks_has_its_reason() -> None:
    project = PYPROJECT["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    wanted += [*PYPROJECT["build-system"]["requires"], *PYPROJECT["dependency-groups"]["bench"]]
    rows = [
        line
        for line in (CHECKOUT / "docs/decisions/0001-dependencies.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    listed = [cells(row)[0].split("`")[1] for row in rows]
    assert {re.match(r"[\w-]+", one)[0] for one in wanted} == set(listed)
    assert len(set(listed)) == len(listed)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith("https://"):
            continue
        target, _, anchor = link.partition("#")
        found = (page.parent / target).resolve() if target else page
        assert found.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(found), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_of_the_checkout_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(r"`((?:projection|tests|docs|grammar|projections|benchmarks)/[\w/.-]*)`", page.read_text())
    assert [] == [name for name in named if not (CHECKOUT / name).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_of_the_documentation_is_linked_to(page: Path) -> None:
    linked = {(one.parent / link.partition("#")[0]).resolve() for one in PAGES for link in links(one)}
    assert page in linked or page.name == "README.md"


def linked_from(page: Path) -> set[Path]:
    return {(page.parent / link.partition("#")[0]).resolve() for link in links(page)}


def test_whoever_operates_a_node_finds_all_pages_from_the_first_one() -> None:
    deploy = CHECKOUT / "docs/deploy"
    to_see = {CHECKOUT / "docs" / name for name in ("console.md", "metrics.md", "tracing.md")}
    assert {deploy / "README.md", deploy / "observe.md", deploy / "runbooks/README.md", *to_see} <= linked_from(
        CHECKOUT / "README.md"
    )
    assert {*deploy.glob("*.md"), deploy / "runbooks/README.md", *to_see} - {deploy / "README.md"} <= linked_from(
        deploy / "README.md"
    )
    assert {*(deploy / "runbooks").glob("*.md")} - {deploy / "runbooks/README.md"} <= linked_from(
        deploy / "runbooks/README.md"
    )
    for name in ("container", "compose", "swarm", "kubernetes", "systemd", "hardening"):
        assert CHECKOUT / "docs/tracing.md" in linked_from(deploy / f"{name}.md"), name


def test_the_contributing_guide_is_short_and_says_what_must_and_what_must_not_be() -> None:
    text = (CHECKOUT / "CONTRIBUTING.md").read_text()
    assert len(text.splitlines()) <= 72
    assert "## A change must\n" in text
    assert "## A change must not\n" in text


def test_the_manifest_of_the_manifest_page_is_one(tmp_path: Path) -> None:
    (shown,) = (block for block in blocks(CHECKOUT / "docs/manifest.md") if "file" in block)
    (program,) = (block for block in blocks(CHECKOUT / "README.md") if block.kind == "proj")
    (tmp_path / program.attributes["file"]).write_text(program.text)
    path = tmp_path / shown.attributes["file"]
    path.write_text(shown.text)
    (view,) = Manifest.load(path).views
    assert ("accounts", "time 2026-01-01T00:00:00Z", "halt", 20_000) == (
        view.view_type,
        str(view.start),
        view.on_error,
        view.limits.gas,
    )


def test_the_settings_of_the_settings_page_are_ones(tmp_path: Path) -> None:
    (shown,) = (block for block in blocks(CHECKOUT / "docs/settings.md") if "file" in block)
    path = tmp_path / shown.attributes["file"]
    path.write_text(shown.text)
    (tmp_path / "node.creds").touch()
    settings = Settings.load(path, environ={})
    assert ("orders", tmp_path / "views", 5) == (settings.stream, settings.storage, settings.back_pressure.linger_ms)


def test_a_table_keeps_the_columns_that_people_wrote_when_it_is_written_anew(tmp_path: Path) -> None:
    (listed,) = (one for one in TABLES if one.name == "settings")
    page = shutil.copy(listed.page, tmp_path / "settings.md")
    longer = listed._replace(page=page, rows=lambda: [("`new.one`", "a text", "none", "`V`"), *listed.rows()])
    longer.write()
    assert [("`new.one`", "a text", "none", "`V`", ""), *table(listed.page, "settings")] == table(page, "settings")


def test_the_packages_of_the_language_are_those_that_the_architecture_page_names() -> None:
    page = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = page.partition("| package | contents |")[2].partition("\n\n")[0]
    packages = {path.parent.name for path in (CHECKOUT / "projection" / "lang").glob("*/__init__.py")}
    assert packages == set(re.findall(r"^\| `(\w+)` \|", rows, re.MULTILINE))


def test_what_the_page_on_streams_says_of_events_is_what_a_manifest_takes() -> None:
    page = (CHECKOUT / "docs" / "streams.md").read_text()
    manifests = [yaml.safe_load(text) for text in re.findall(r"```yaml[^\n]*\n(.*?)```", page, re.DOTALL)]
    described = [EventFormat.model_validate(one["events"]) for one in manifests]
    assert ["cloudevents", "json", "json", "json"] == [one.format for one in described]
    rows = re.findall(r"^\| (`[^|]+`) \| [^|]+ \| [^|]+ \|$", page[page.index("| key of `events` |") :], re.MULTILINE)
    assert set(EventFormat.model_fields) == {name for row in rows for name in re.findall(r"`(\w+)`", row)}
