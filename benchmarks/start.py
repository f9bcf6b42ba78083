"""How long commands take from a cold start, and what the pytest plugin adds to a run, against what they may take."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from projection.bundled import bundled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

RUNS = 7
PAIRS = 15
CHECK_ALLOWED_S = 0.5
PROGRAM_ALLOWED_CPU_S = 0.15  # one program, no manifest: 0.35 of what version 0.1 took on the same machine
FOLDER_ALLOWED_CPU_S = 0.155  # a manifest, its program and a scenario, as `projection new` writes them: 0.35 as well
TEST_ALLOWED_S = 3.0
PLUGIN_ALLOWED_S = 0.1


def measure() -> Iterator[dict[str, Any]]:
    """Seconds of whole processes, the medians."""
    yield _row("check_cold_start_s", _command_s("check"), CHECK_ALLOWED_S)
    yield _row("check_program_cold_start_cpu_s", _program_cpu_s(), PROGRAM_ALLOWED_CPU_S)
    yield _row("check_folder_cold_start_cpu_s", _folder_cpu_s(), FOLDER_ALLOWED_CPU_S)
    yield _row("test_gallery_cold_start_s", _command_s("test"), TEST_ALLOWED_S)
    yield _row("pytest_plugin_adds_s", _plugin_s(), PLUGIN_ALLOWED_S)


def _command_s(name: str) -> float:
    """A command on all examples."""
    command = [sys.executable, "-m", "projection", name, str(bundled("projections"))]
    return median(_taken(command) for _ in range(RUNS))


def _program_cpu_s() -> float:
    """Processor time of a check of one program, from a cold start: what an editor or a hook pays at each save."""
    program = bundled("projections/bank_ledger/program.proj")
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder, program.name)
        alone.write_bytes(program.read_bytes())
        return _cpu_s(["check", str(alone)], folder)


def _folder_cpu_s() -> float:
    """Processor time of a check of what `projection new` makes, from a cold start."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "projection", "new", "stock"], cwd=folder, check=True, capture_output=True
        )
        return _cpu_s(["check"], folder)


def _cpu_s(arguments: Sequence[str], folder: str) -> float:
    """Median processor time of a command whose modules are compiled, as pip leaves them; a first run compiles them."""
    command = [sys.executable, "-m", "projection", *arguments]
    with tempfile.TemporaryDirectory() as compiled:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}
        return median([_cpu_taken(command, folder, environment) for _ in range(1 + RUNS)][1:])


def _cpu_taken(command: Sequence[str], folder: str, environment: Mapping[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, cwd=folder, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _plugin_s() -> float:
    """What the plugin adds to a run of one test in a folder without programs, measured in pairs.

    Other plugins are left out, as what they import would be imported for this one, too.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_nothing.py").write_text("def test_nothing():\n    pass\n")
        bare = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder]
        plugged = [*bare, "-p", "projection.testing.pytest_plugin"]
        return median(_taken(plugged, folder) - _taken(bare, folder) for _ in range(PAIRS))


def _taken(command: Sequence[str], folder: str | None = None) -> float:
    begin = time.perf_counter()
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    subprocess.run(command, check=True, capture_output=True, cwd=folder, env=environment)
    return time.perf_counter() - begin


def _row(name: str, found: float, allowed: float) -> dict[str, Any]:
    return {"name": name, "ours": round(found, 3), "yardstick": allowed, "ratio": round(found / allowed, 2)}
