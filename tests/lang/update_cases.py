"""Writes what the cases charge: `python tests/lang/update_cases.py` sets every `gas` line anew, and adds missing ones.

Nothing else changes. What comes of it is to be read before it is committed: gas is part of the meaning, and within an
edition no figure may change.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from language_support import CASES, Case, read_cases
from test_cases import outcomes

if TYPE_CHECKING:
    from pathlib import Path

_GAS = re.compile(r"(route )?gas \d+")


def with_gas(case: Case) -> list[str]:
    """What is expected of a case, with what it charges now."""
    case.expected = [line for line in case.expected if not _GAS.match(line)]
    wanted = iter(case.expected)
    return [line if _GAS.match(line) else next(wanted) for line in outcomes(case)]


def update(path: Path) -> None:
    """Set the lines of one file anew."""
    blocks = re.split(r"(?m)^(?=--- )", path.read_text(encoding="utf-8"))
    cases = read_cases(path)
    for number, case in enumerate(cases, start=len(blocks) - len(cases)):
        text, found, _ = blocks[number].partition("\n>>> ")
        if found:
            lines = "".join(f"\n>>> {line}" for line in with_gas(case))
            blocks[number] = f"{text}{lines}\n" + ("\n" if blocks[number].endswith("\n\n") else "")
    path.write_text("".join(blocks), encoding="utf-8")


if __name__ == "__main__":
    for each in sorted(CASES.glob("*.cases")):
        update(each)
