"""`projection` for tests, in a process of its own that does not have to import everything first.

A server process has the package imported and forks for each command. What is forked has the caller's arguments, folder,
environment and files, is the command from `main` to its exit status, and gets the signals that are meant for it. Only
the start of the interpreter is left out, which takes ten times as long as what most tests ask for.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import marshal
import os
import pkgutil
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from patience import WITHIN_S
from processor_time import beside
from warm_client import BYTES, ask, told

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FILES = 3  # stdin, stdout, stderr
ALSO_IMPORTED = ("httpx", "hypothesis", "nats", "rich.console", "rich.markdown", "rich.progress", "uvicorn")  # late
SCRIPT = """\
#!{python} -ISs
import os, sys
if sys.argv[1:2] == ["fuzz"]:  # hypothesis draws from the constants of the modules that are there: these must be its own
    os.execv({python!r}, [{python!r}, "-m", "projection", *sys.argv[1:]])
sys.path.append({tests!r})
from warm_client import main
main({address!r})
"""


class WarmCommands:
    """The server process, and how to ask it; it ends with this process."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="warm-"))
        self.address = str(self.folder / "commands")
        program = f"import sys; sys.path.append({str(Path(__file__).parent)!r}); import warm_commands as w; w.serve()"
        command = [sys.executable, "-c", program, self.address]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == b"ready\n"
        beside.add(self._server.pid)
        script = self.folder / "projection"
        script.write_text(SCRIPT.format(python=sys.executable, tests=str(Path(__file__).parent), address=self.address))
        script.chmod(0o700)

    def run(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], *, merged: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """What `subprocess.run` of a command would give, with its output as text; merged, all of it is stdout."""
        with ExitStack() as stack:
            files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(FILES)]
            numbers = [file.fileno() for file in files]
            if merged:
                numbers[2] = numbers[1]
            connection = stack.enter_context(closing(ask(self.address, command, environment, str(folder), numbers)))
            connection.settimeout(WITHIN_S)
            told(connection)
            status = told(connection)
            assert status is not None, "the server of warm commands has ended"
            for file in files:
                file.seek(0)
            _, out, errors = (file.read().decode() for file in files)
        return subprocess.CompletedProcess(list(command), status, out, errors)

    def end(self) -> None:
        beside.discard(self._server.pid)
        self._server.communicate()
        shutil.rmtree(self.folder, ignore_errors=True)


_running: list[WarmCommands] = []


def warm_commands() -> WarmCommands:
    """Those of this process, started when they are first asked for."""
    if not _running:
        _running.append(WarmCommands())
        atexit.register(end_warm_commands)
    return _running[0]


def end_warm_commands() -> None:
    while _running:
        _running.pop().end()


# --- the server ---------------------------------------------------------------------------------------------------


def serve() -> None:
    """Fork a keeper for each connection to an address, until standard input ends."""
    import projection
    from projection.lang.syntax.parser import parse_expression

    for module in pkgutil.walk_packages(projection.__path__, "projection."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for name in ALSO_IMPORTED:
        importlib.import_module(name)
    parse_expression("0", 0)  # makes the parser's tables
    gc.freeze()
    signal.signal(signal.SIGCHLD, lambda *_: None)  # wakes the loop, which waits for what has ended
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(sys.argv[1])
        listening.listen(64)
        print("ready", flush=True)
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write)
        while True:
            ready, _, _ = select.select([listening, 0, wake_read], [], [])
            if wake_read in ready:
                os.read(wake_read, 4096)
                with suppress(ChildProcessError):
                    while os.waitpid(-1, os.WNOHANG)[0]:
                        pass
            if 0 in ready:
                return
            if listening in ready:
                connection, _ = listening.accept()
                if not os.fork():
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for one in (listening.detach(), wake_read, wake_write):
                        os.close(one)
                    _keep(connection)
                connection.close()


def _keep(connection: socket.socket) -> None:
    """Be the parent of one command; returns only in the command itself."""
    data, files, _, _ = socket.recv_fds(connection, BYTES, FILES)
    length = int.from_bytes(data, "little")
    asked = b""
    while len(asked) < length:
        asked += connection.recv(length - len(asked))
    command = os.fork()
    if not command:
        connection.close()
        _become(*marshal.loads(asked), files)
    for one in files:
        os.close(one)
    ended = os.pidfd_open(command)
    _tell(connection, command)
    ready, _, _ = select.select([connection, ended], [], [])
    if ended not in ready:  # whoever asked is gone
        os.kill(command, signal.SIGKILL)
    _, status = os.waitpid(command, 0)
    _tell(connection, os.waitstatus_to_exitcode(status))
    os._exit(0)


def _tell(connection: socket.socket, number: int) -> None:
    with suppress(OSError):  # nobody is there any more
        connection.sendall(number.to_bytes(BYTES, "little", signed=True))


def _become(
    command: Sequence[str], environment: dict[str, str], folder: str, ignored: Sequence[int], files: Sequence[int]
) -> NoReturn:
    """Be the command, as if started anew."""
    for own, given in enumerate(files):
        os.dup2(given, own)
        os.close(given)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process lives
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(
            open(number, "wb", buffering=0 if unbuffered else -1, closefd=False),  # noqa: SIM115 - as above
            encoding="utf-8",
            errors=errors,
            line_buffering=number == 2 or os.isatty(number),
            write_through=unbuffered,
        )
        for number, errors in ((1, "strict"), (2, "backslashreplace"))
    )
    sys.argv = list(command)
    from projection.cli.main import main

    main()
    sys.exit(0)
