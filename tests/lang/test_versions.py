"""Generated programs and all cases tell the same under the oldest and the newest Python, byte for byte."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import SystemRandom

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("versions_script.py")
PROGRAMS = 2_000


def version(python: Path) -> tuple[int, int] | None:
    """Major and minor version; None of what does not run."""
    text = "import sys; print(*sys.version_info[:2])"
    done = subprocess.run([python, "-c", text], capture_output=True, text=True, check=False)
    return tuple(map(int, done.stdout.split())) if done.returncode == 0 else None


def pythons() -> dict[tuple[int, int], Path]:
    """The Pythons from 3.11 on that can run this project: this one, and those that `make test-all` has made ready."""
    found = {}
    for python in (Path(sys.executable), *sorted(ROOT.glob(".venv/under-*/bin/python"))):
        if (number := version(python)) is not None and number >= (3, 11):
            found.setdefault(number, python)
    return found


def made_ready(directory: Path) -> dict[tuple[int, int], Path]:
    """The newest other Python of this machine, in an environment of its own with what tests of the language need."""
    homes = (Path.home() / ".pyenv" / "versions").glob("*/bin/python3")
    names = (Path(one) / f"python3.{minor}" for one in os.get_exec_path() for minor in range(11, 20))
    others = {number: one for one in (*names, *homes) if one.exists() and (number := version(one)) is not None}
    number = max((one for one in others if one >= (3, 11)), default=(0, 0))
    if number <= (3, 11) or number == sys.version_info[:2]:
        return {}
    environment = directory / "newest"
    subprocess.run([others[number], "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", ROOT], check=True)
    return {number: python}


def told(python: Path, seed: int) -> list[str]:
    """All lines of the script, with hashes of texts that differ from run to run."""
    done = subprocess.run(
        [python, SCRIPT, str(seed), str(PROGRAMS)],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONHASHSEED": "random", "PYTHONUTF8": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4_000:]
    return done.stdout.splitlines()


@pytest.mark.long
def test_programs_tell_the_same_under_the_oldest_and_the_newest_python(tmp_path: Path) -> None:
    found = pythons()
    if len(found) == 1:
        found |= made_ready(tmp_path)
    if len(found) == 1:
        pytest.skip("this machine has one Python from 3.11 on")
    seed, oldest, newest = SystemRandom().randrange(2**32), min(found), max(found)
    before, after = (told(found[number], seed) for number in (oldest, newest))
    print(f"versions: {len(before)} programs and cases from seed {seed} under {oldest} and {newest}")
    assert len(before) > PROGRAMS
    assert before == after
