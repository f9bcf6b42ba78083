"""The pages as a site: whatever page there is can be found from it, and nothing comes from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from docs_pages import CHECKOUT
from docs_site import SETTINGS, SITE_PAGES, gather
from patience import WITHIN_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)[^>]*\ssrc=["']?(?:https?:)?//|<link[^>]*\shref=["']?(?:https?:)?//"""
)


def named(navigation: object) -> Iterator[str]:
    """The pages that a navigation names, in its order."""
    if isinstance(navigation, str):
        yield navigation
    elif isinstance(navigation, dict | list):
        for one in navigation.values() if isinstance(navigation, dict) else navigation:
            yield from named(one)


def test_the_navigation_names_every_page_once() -> None:
    pages = [str(page.relative_to(CHECKOUT)) for page in SITE_PAGES]
    assert sorted(pages) == sorted(named(tomllib.loads(SETTINGS.read_text())["project"]["nav"])), SETTINGS


def test_the_navigation_goes_as_a_user_grows() -> None:
    sections = [next(iter(section)) for section in tomllib.loads(SETTINGS.read_text())["project"]["nav"]]
    grown = ["projection-node", "Tutorial", "How to", "Examples", "Reference", "Explanation", "Guarantees", "Project"]
    assert grown == sections


def test_a_page_that_is_gone_is_not_gathered_again(tmp_path: Path) -> None:
    gone = tmp_path / "pages/docs/gone.md"
    gone.parent.mkdir(parents=True)
    gone.touch()
    gather(tmp_path)
    assert not gone.exists()


def test_attributes_that_only_tests_read_are_not_shown(tmp_path: Path) -> None:
    gather(tmp_path)
    fences = re.findall(r"^```\w+(.*)$", (tmp_path / "pages/docs/tutorial.md").read_text(), re.MULTILINE)
    assert {""} == set(fences)


def built(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", str(folder / "zensical.toml")]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=WITHIN_S)


needs_the_group = pytest.mark.skipif(
    find_spec("zensical") is None, reason="the dependency group `docs` is not installed; `make docs` does"
)


@needs_the_group
def test_the_site_builds_without_a_warning_and_asks_no_other_host_for_anything(tmp_path: Path) -> None:
    gather(tmp_path)
    build = built(tmp_path)
    assert 0 == build.returncode, build.stderr
    for page in SITE_PAGES:
        path = tmp_path / "site" / page.relative_to(CHECKOUT).with_suffix(".html")
        text = (path.with_name("index.html") if page.name == "README.md" else path).read_text()
        assert not FETCHED.search(text), page
        assert not re.search(r"<p>(\||```|[-*] )", text), (
            f"{page}: a table, a block or a list is shown as it is written"
        )
    for sheet in (tmp_path / "site").rglob("*.css"):
        assert not re.search(r"url\([\"']?(https?:)?//|@import", sheet.read_text()), sheet


@needs_the_group
@pytest.mark.parametrize("link", ["nowhere.md", "language.md#no-such-heading"])
def test_a_link_that_leads_nowhere_stops_the_build(link: str, tmp_path: Path) -> None:
    gather(tmp_path)
    with (tmp_path / "pages/docs/manifest.md").open("a") as page:
        page.write(f"\n[a link]({link})\n")
    assert 0 != built(tmp_path).returncode
