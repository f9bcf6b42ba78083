"""The programs of Prometheus and Alertmanager that check files: which of them this machine has, and running them."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from container_support import CHECKOUT

TOOLS = ("promtool", "amtool")
HEADERS_SINCE = (2, 55)  # of Prometheus: it sends headers of one's own from this version on


def version(program: str) -> tuple[int, int] | None:
    """Its major and minor version; None where it is not installed."""
    if shutil.which(program) is None:
        return None
    ran = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"version (\d+)\.(\d+)", ran.stdout + ran.stderr)
    return int(found[1]), int(found[2])


def promtool(*arguments: object) -> str:
    """What it says where it finds nothing wrong."""
    return _sound(ran("promtool", *arguments))


def amtool(*arguments: object) -> str:
    """What it says where it finds nothing wrong."""
    return _sound(ran("amtool", *arguments))


def ran(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run one of them; where it is not installed, skip the test."""
    if shutil.which(program) is None:
        package = "prometheus" if program == "promtool" else "prometheus-alertmanager"
        pytest.skip(f"{program} is not installed; Debian's package {package} has it")
    command = [program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)


def _sound(ended: subprocess.CompletedProcess[str]) -> str:
    told = ended.stdout + ended.stderr
    assert 0 == ended.returncode, told
    return told
