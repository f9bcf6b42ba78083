"""What docs/errors.md says about each code: for `projection explain`, and for the rules of a SARIF report."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from projection.bundled import bundled

_ROW = re.compile(r"^\| `([A-Z]\d{3})` \| (.+) \|$", re.MULTILINE)
_HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"\b[A-Z]\d{3}\b")


@dataclass(frozen=True, slots=True)
class Explanation:
    """A code, what it means in a sentence, and all that the page says about it, as Markdown."""

    code: str
    summary: str
    text: str


@cache
def explanations() -> dict[str, Explanation]:
    """All codes of docs/errors.md, in order."""
    page = bundled("docs/errors.md").read_text(encoding="utf-8")
    found: dict[str, Explanation] = {}
    for match in _ROW.finditer(page):
        summary, *advice = (cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", match[2]))
        found[match[1]] = Explanation(match[1], summary, "\n\n".join((summary, *advice)))
    for codes, section in _sections(page):
        for code in codes:
            summary = found[code].summary if code in found else section.partition("\n\n")[0].replace("\n", " ")
            found[code] = Explanation(code, summary, section)
    return dict(sorted(found.items()))


def _sections(page: str) -> list[tuple[list[str], str]]:
    """The sections whose headings name codes, each up to the next heading that is not below it."""
    outside = _FENCE.sub(lambda match: " " * len(match[0]), page)  # a comment of a program is no heading
    headings = list(_HEADING.finditer(outside))
    found = []
    for index, heading in enumerate(headings):
        if codes := _CODE.findall(heading[2]):
            following = (one.start() for one in headings[index + 1 :] if len(one[1]) <= len(heading[1]))
            found.append((codes, page[heading.end() : next(following, len(page))].strip()))
    return found
