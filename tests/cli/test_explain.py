"""`projection explain`: every code has its explanation, also in an installed package."""

from __future__ import annotations

import re
import sys

from command_support import projection, refused

from projection.bundled import bundled
from projection.cli.explain import explain
from projection.cli.explanations import explanations

PAGE = bundled("docs/errors.md").read_text()


def test_a_code_is_explained_in_the_words_of_the_page(tmp_path):
    for written in ("N204", "n204", "[N204]"):
        ended = projection("explain", written, folder=tmp_path)
        assert (0, "") == (ended.returncode, ended.stderr)
        assert ended.stdout.startswith("# N204\n\n")
        assert explanations()["N204"].text in ended.stdout


def test_a_terminal_is_told_which_example_is_wrong_and_which_is_right(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    explain("N204")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)  # what colors there are is the terminal's
    shown = [line.strip() for line in plain.splitlines() if line.strip()]
    wrong, right = shown.index("wrong:"), shown.index("right:")
    assert ("on E as e to e.id => { n: e.amount }", "on E as e to e.id => { total: e.x }") == (
        shown[wrong + 1],
        shown[right + 1],
    )


def test_every_code_of_the_page_is_known_and_listed(tmp_path):
    codes = sorted(set(re.findall(r"`([A-Z]\d{3})`", PAGE)))
    assert codes == list(explanations())
    listed = projection("explain", folder=tmp_path).stdout.splitlines()
    assert codes == [line.split("  ")[0] for line in listed]
    assert all(len(line) > 10 for line in listed)


def test_a_section_about_a_code_goes_up_to_the_next_heading_of_its_level(monkeypatch, tmp_path):
    (tmp_path / "errors.md").write_text(
        "# Errors\n\n| code | |\n| --- | --- |\n| `N204` | A field. |\n\n## N204\n\nLong.\n\n"
        "```\n# no heading\n```\n\n### More\n\nof it.\n\n## N205, N206\n\nBoth\nof them.\n\nMore.\n"
    )
    monkeypatch.setattr("projection.cli.explanations.bundled", lambda _name: tmp_path / "errors.md")
    found = explanations.__wrapped__()
    assert ["N204", "N205", "N206"] == list(found)
    assert ("A field.", "Long.\n\n```\n# no heading\n```\n\n### More\n\nof it.") == (
        found["N204"].summary,
        found["N204"].text,
    )
    assert "Both of them." == found["N206"].summary


def test_for_an_unknown_code_a_near_one_is_named(tmp_path):
    refused(projection("explain", "N24", folder=tmp_path), 2, "there is no code 'N24'", "hint: did you mean N204?")
    refused(projection("explain", "nonsense", folder=tmp_path), 2, "hint: `projection explain` lists them all")
