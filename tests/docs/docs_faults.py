"""The faults of docs/faults.md: what each section makes, who finds it, and the line that says so.

A console block with the attribute `says=WORD` ends with the command that finds the fault, and the first line of its
output with that word is what it says. The outputs themselves are held as those of every page.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from docs_pages import CHECKOUT, blocks, headings, section
from docs_shell import commands

FAULTS = CHECKOUT / "docs/faults.md"


class Finding(NamedTuple):
    """One fault, found by one command."""

    fault: str
    finder: str
    line: str


def findings() -> list[Finding]:
    """What the page shows, in its order."""
    sections = {heading: section(FAULTS, f"## {heading}") for heading in headings(FAULTS)}
    found = []
    for block in blocks(FAULTS):
        if "says" in block:
            *_, (command, output) = commands(block)
            (heading,) = (name for name, text in sections.items() if block.text in text)
            finder = command.split()[1] + (" --against" if "--against" in command else "")
            (line, *_) = (line.strip() for line in output.splitlines() if block.attributes["says"] in line)
            found.append(Finding(heading, finder, re.sub(r"  +", "  ", line)))
    return found


def faults() -> list[tuple[str, ...]]:
    """The rows of the table: the fault, who finds it, what it says."""
    return [
        (f"[{one.fault}](#{one.fault.lower().replace(' ', '-')})", f"`{one.finder}`", f"`` {one.line} ``")
        for one in findings()
    ]
