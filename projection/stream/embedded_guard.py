"""Owns an embedded server: starts it, and ends it when its own standard input ends, that is, when its parent does.

Run as a script by `EmbeddedServer`, alone and quick to start: only the standard library is imported. A pipe closes on
every kind of death, also `kill -9`; a death signal of the kernel (PDEATHSIG) exists on Linux only and hangs on the
*thread* that started the child.
"""

import contextlib
import fcntl
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

STORE_IN_USE = 3  # exit status
_LOCK_WITHIN_S = 10.0  # a server whose parent was just killed may still be ending
_END_WITHIN_S = 5.0


def main() -> int:
    """Run `COMMAND…` on the store directory of the first argument; prints the server's pid."""
    directory, *command = sys.argv[1:]
    lock = os.open(Path(directory, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    if not _locked(lock):
        return STORE_IN_USE
    # The server inherits the lock: even without this guard nobody opens the store while it runs.
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=sys.stderr, pass_fds=[lock]
    ) as server:
        threading.Thread(target=_end_with_parent, args=[server], daemon=True).start()
        with contextlib.suppress(BrokenPipeError):  # the parent is gone: the thread sees to it
            print(server.pid, flush=True)  # noqa: T201 - this is how the parent hears of it
        return server.wait()


def _locked(lock: int) -> bool:
    deadline = time.monotonic() + _LOCK_WITHIN_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def _end_with_parent(server: subprocess.Popen[bytes]) -> None:
    while os.read(sys.stdin.fileno(), 4096):  # `sys.stdin` would be locked: the interpreter waits 1 s for it at its end
        pass
    server.terminate()
    try:
        server.wait(_END_WITHIN_S)
    except subprocess.TimeoutExpired:  # stopped, or busy: SIGKILL reaches it anyway
        server.kill()


if __name__ == "__main__":
    sys.exit(main())
