"""The runbooks: they say what they should, and their commands exist and have been run where their cause was provoked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click
import pytest
import runbook_site
import yaml
from container_support import CHECKOUT
from runbook_site import PROVOKED, Site
from runbooks import PAGES, SECTIONS, commands, parse, sections

if TYPE_CHECKING:
    from pathlib import Path

SERVICES = yaml.safe_load((CHECKOUT / "deploy/compose.yaml").read_text())["services"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_runbook_says_what_it_means_how_to_look_and_what_to_do(page: Path) -> None:
    text = page.read_text()
    alert = "Projection" + page.stem.title().replace("-", "")
    assert text.startswith(f"# {alert}\n\n")
    assert SECTIONS == [*sections(page)]
    assert any(block.section == "How to look" for block in commands(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_of_a_runbook_are_commands(page: Path) -> None:
    for block in commands(page):
        for line in block.lines:
            if line.startswith("projection "):
                assert not block.is_for_host, line
                parse(line)
            elif line.startswith("docker compose "):
                assert block.is_for_host, line
                named = re.match(
                    r"docker compose --file deploy/compose.yaml (?:\w+|--\S+|\d+m?| )+? (\w+)(?: |$)", line
                )
                assert named, line
                assert set(line.split()) & SERVICES.keys(), line


def test_a_command_that_is_none_is_noticed() -> None:
    parse("projection parked drop pages 2 --id home --reason 'a text'")
    for wrong in ("projection parked drop pages two", "projection parcked list", "projection builds list --all"):
        with pytest.raises(click.ClickException):
            parse(wrong)


def test_each_runbook_was_provoked() -> None:
    assert {page.stem for page in PAGES} == {one.page for one in PROVOKED}


@pytest.mark.long
@pytest.mark.parametrize("provoked", PROVOKED, ids=lambda one: one.name)
def test_a_runbook_was_tried_where_its_cause_was_provoked(
    provoked: runbook_site.Provoked, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with Site.of(provoked, tmp_path) as site:
        provoked.provoke(site)
        site.until(lambda: provoked.is_there(site))
        (page,) = (page for page in PAGES if page.stem == provoked.page)
        blocks = [block for block in commands(page) if not block.is_for_host]
        for block in blocks:
            if block.section == "How to look":
                site.follow(block)
        provoked.mend(site)
        ways = [block for block in blocks if block.section == "What to do"]
        chosen = [block for block in ways if block.is_other_way] if provoked.way else []
        for block in [chosen[provoked.way - 1]] if chosen else [block for block in ways if not block.is_other_way]:
            site.follow(block)
        if provoked.ends:
            site.until(lambda: not provoked.is_there(site))
