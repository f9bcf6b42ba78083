"""Runs a command as a slow and busy machine would: `python tests/slow_machine.py PROCESSORS COMMAND…`.

The command and all that it starts get so much of a processor, 0.33 for a third of one, by the quota of a control group,
which root may make. At the same time it is nice, and another process keeps each processor busy.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

PERIOD_US = 100_000
GROUPS = Path("/sys/fs/cgroup")
NICE = 10


def limit(processors: float) -> Path:
    """Make a control group with that quota, by version 1 or 2 of the kernel's interface."""
    quota, name = max(1_000, int(processors * PERIOD_US)), f"slow-machine-{os.getpid()}"
    try:
        if (GROUPS / "cgroup.controllers").exists():
            (GROUPS / "cgroup.subtree_control").write_text("+cpu")
            group = GROUPS / name
            group.mkdir()
            (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
        else:
            group = GROUPS / "cpu" / name
            group.mkdir()
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(quota))
    except OSError as error:
        sys.exit(f"no control group with a quota can be made: {error}. Run this as root, on Linux.")
    return group


def remove(group: Path) -> None:
    """Remove a control group that nothing runs in any more."""
    with suppress(OSError):  # something that the command left behind runs on
        group.rmdir()


def main() -> int:
    """Run the command; its exit status."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    processors, *command = sys.argv[1:]
    group = limit(float(processors))
    enter = ["nice", "-n", str(NICE), "sh", "-c", f'echo $$ > "{group}/cgroup.procs" && exec "$@"', "sh"]
    with ExitStack() as stack:
        stack.callback(remove, group)
        for _ in range(os.cpu_count() or 1):
            busy = stack.enter_context(subprocess.Popen([sys.executable, "-I", "-S", "-c", "while True: pass"]))
            stack.callback(busy.kill)
        return subprocess.run([*enter, *command], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
