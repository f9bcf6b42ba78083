"""Starting `lane_child.py`, and talking with it in lines."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

Start = Callable[[str], subprocess.Popen[str]]


@contextmanager
def starter(path: Path) -> Iterator[Start]:
    """What starts `lane_child.py` with a command on this path; every process is gone in the end."""
    with ExitStack() as stack:

        def start(command: str) -> subprocess.Popen[str]:
            arguments = [sys.executable, str(Path(__file__).with_name("lane_child.py")), command, str(path)]
            pipe = subprocess.PIPE
            child = stack.enter_context(subprocess.Popen(arguments, stdin=pipe, stdout=pipe, text=True))
            stack.callback(child.kill)
            return child

        yield start


def ask(child: subprocess.Popen[str], command: str) -> str:
    child.stdin.write(command + "\n")
    child.stdin.flush()
    return child.stdout.readline().strip()
