"""The pages of this project as tests read them: fenced blocks with their attributes, links, generated tables.

A fence's info string says what a test does with the block: ```` ```proj file=a.proj ```` and ```` ```console status=1 ````
are the word that renders the block, and attributes that only tests read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [CHECKOUT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")]
    + [*CHECKOUT.glob("docs/**/*.md")]
)
_FENCE = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_TABLE = "<!-- table: {} -->\n"
_TABLE_END = "<!-- end of table -->"


@dataclass(frozen=True)
class Block:
    """A fenced block: `kind` is its language, `attributes` the other words of its info string."""

    kind: str
    attributes: dict[str, str]
    text: str
    place: str  # file:line, for messages

    @property
    def is_run(self) -> bool:
        """Whether it holds commands whose output the page shows."""
        return self.kind == "console" and "not-run" not in self and "second-terminal" not in self

    def __contains__(self, attribute: str) -> bool:
        return attribute in self.attributes


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text()
    for match in _FENCE.finditer(text):
        words = (word.partition("=") for word in match[2].split())
        line = text.count("\n", 0, match.start()) + 1
        yield Block(match[1], {key: value for key, _, value in words}, match[3], f"{page.name}:{line}")


def links(page: Path) -> list[str]:
    """Where the links of a page lead."""
    return _LINK.findall(_FENCE.sub("", page.read_text()))


def headings(page: Path) -> list[str]:
    """The headings of a page, of all levels, in order."""
    return re.findall(r"^#+ (.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as renderers make them."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings(page)}


def section(page: Path, heading: str) -> str:
    """What stands below a heading, up to the next one of the same level."""
    level = heading.partition(" ")[0]
    _, _, rest = page.read_text().partition(f"\n{heading}\n")
    return re.split(rf"^{level} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def table(page: Path, name: str) -> list[tuple[str, ...]]:
    """The rows of the table between its two comments, without its head."""
    _, begin, rest = page.read_text().partition(_TABLE.format(name))
    assert begin, f"{page.name} has no table {name!r}"
    return [cells(line) for line in rest.partition(_TABLE_END)[0].splitlines()[2:]]


def cells(line: str) -> tuple[str, ...]:
    """The cells of one row; `\\|` is a bar in a cell."""
    return tuple(cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1])


def with_table(page: Path, name: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """The page's text with the rows of a table written anew."""
    before, begin, rest = page.read_text().partition(_TABLE.format(name))
    lines = [head, ("---",) * len(head), *rows]
    written = ("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |\n" for line in lines)
    return before + begin + "".join(written) + _TABLE_END + rest.partition(_TABLE_END)[2]
