"""Which files hold tests, by a look that loads nothing: pytest asks for every file of every project it runs in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SCENARIO = ".scenario"
ENDINGS = (".scenario.yaml", ".scenario.yml", ".scenario.toml", ".scenario.json")

_TEST = re.compile(rb"^test\b", re.MULTILINE)


def is_scenario(path: Path) -> bool:
    """Whether a file is a scenario, by its name."""
    return path.name.endswith(ENDINGS)


def scenario_name(path: Path) -> str:
    """`fines` of `fines.scenario.yaml`."""
    return path.stem.removesuffix(SCENARIO)


def has_tests(path: Path) -> bool:
    """Whether a file is a program that seems to hold tests; one that cannot be read may."""
    if path.suffix != ".proj":
        return False
    try:
        return _TEST.search(path.read_bytes()) is not None
    except OSError:
        return True
