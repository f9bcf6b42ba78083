"""Every command that a page prints is run, and prints what the page shows."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import docs_shell
import pytest
from docs_pages import CHECKOUT, PAGES, blocks
from docs_shell import Shell, agrees, commands

if TYPE_CHECKING:
    from pathlib import Path

RUN = [page for page in PAGES if any(block.is_run for block in blocks(page))]


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_a_reader_who_types_what_the_page_says_sees_what_it_shows(page: Path, tmp_path: Path) -> None:
    with Shell(tmp_path) as shell:
        for block in blocks(page):
            shell.follow(block)


def test_readme_and_tutorial_are_among_the_pages_that_are_run() -> None:
    assert {"README.md", "tutorial.md"} <= {page.name for page in RUN}


def test_what_is_shown_and_not_run_exists() -> None:
    """`make` and `pip` would install the project into itself: their targets and extras are looked up instead."""
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    extras = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["optional-dependencies"].keys()
    kept = [command for page in PAGES for block in blocks(page) if "not-run" in block for command, _ in commands(block)]
    assert kept
    for command in kept:
        if target := re.match(r"make ([a-z-]+)", command):
            assert target[1] in targets
        elif named := re.search(r"'\.\[([a-z,]+)\]'", command):
            assert set(named[1].split(",")) <= extras
        else:
            assert re.match(r"python3 -m venv|(mkdir|cd) ", command), f"{command!r} could be run"


def test_a_page_that_shows_something_else_is_noticed() -> None:
    assert agrees('{"views":3,"seconds":0.07}\n', '{"views":3,"seconds":1.9}\n')
    assert agrees(
        "published 5 events in 0.1 s, 72 events/s: all\n", "published 5 events in 2.0 s, 1,072 events/s: all\n"
    )
    assert agrees('"fold_identity":"…","a":1\n', '"fold_identity":"3ad5","a":1\n')
    assert not agrees('{"views":3,"seconds":0.07}\n', '{"views":4,"seconds":0.07}\n')
    assert not agrees("one … line\n", "one\nother line\n")
    assert not agrees("a line\n", "a line\nand one more\n")


def test_a_command_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs_shell, "WITHIN_S", 0.5)
    with Shell(tmp_path) as shell, pytest.raises(AssertionError, match="the shell ended at 'sleep 100; echo'"):
        shell.run("sleep 100; echo")


def test_a_shell_tells_the_exit_status_and_both_outputs_in_their_order(tmp_path: Path) -> None:
    with Shell(tmp_path) as shell:
        assert ("one\ntwo\n", 3) == shell.run("echo one; echo two >&2; (exit 3)")
        assert ("no end of line", 0) == shell.run("printf 'no end of line'")
