"""Processes in namespaces of their own, which may mount and number as they like: what containers are made of."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from patience import WITHIN_S

_UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]
_PIDS = ["--pid", "--fork", "--mount-proc"]


def run_apart(script: str, *arguments: object, own_pids: bool = False) -> list[str]:
    """Run `script` of this folder in a mount namespace of its own, and with `own_pids` in a pid namespace; its lines.

    Skips the test where this user may not make namespaces.
    """
    unshare = [*_UNSHARE, *(_PIDS if own_pids else ())]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("this machine does not let a user make namespaces (unshare --user --mount)")
    command = [*unshare, sys.executable, str(Path(__file__).with_name(script)), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()
