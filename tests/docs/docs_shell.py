"""A shell that a page's commands run in, one after the other, as a reader would type them."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Timer
from time import monotonic
from typing import TYPE_CHECKING, Self

from patience import WITHIN_S, wait_until
from warm_commands import warm_commands

from projection.stream import embedded_guard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docs_pages import Block

_MARK = "=== end of command: "
_DEFAULT_ADDRESS = "127.0.0.1:7070"  # where a node answers queries
_VOLATILE = (  # numbers that no two runs have in common
    (re.compile(r'"seconds":[0-9.]+'), '"seconds":0'),
    (re.compile(r"in [0-9.]+ s, [0-9,]+ events/s"), "in 0 s, 0 events/s"),
)
_JOB_NOTICE = re.compile(
    r"^bash: line \d+: +\d+ Killed.*\n", re.MULTILINE
)  # a script's shell says it, a reader's otherwise


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """Each command of a console block with the output that stands below it; `> ` goes on with a command."""
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        while output.startswith(("> ", ">\n")):
            more, _, output = output[1:].removeprefix(" ").partition("\n")
            command += "\n" + more
        yield command, output


def agrees(shown: str, found: str) -> bool:
    """Whether an output is what the page shows; there `…` stands for anything within a line."""
    for pattern, constant in _VOLATILE:
        shown, found = pattern.sub(constant, shown), pattern.sub(constant, found)
    return re.fullmatch("[^\n]*".join(re.escape(part) for part in shown.split("…")), found) is not None


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


class Shell:
    """One bash in a folder, with the commands of this installation and without the reader's own settings."""

    def __init__(self, folder: Path) -> None:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("PROJECTION_", "PYTEST"))
        }
        environment |= {
            "PATH": f"{warm_commands().folder}:{Path(sys.executable).parent}:{environment['PATH']}",
            "COLUMNS": "80",
        }
        # pytest as a reader has it who installed it with this package: without this project's other plugins.
        without = ("cacheprovider", "randomly", "asyncio", "anyio", "schemathesis", "hypothesispytest")
        environment |= {"PYTEST_ADDOPTS": " ".join(f"-pno:{name}" for name in without)}
        self._address = f"127.0.0.1:{_free_port()}"  # stands for the default one, which others may have
        environment |= {"PROJECTION_HTTP__LISTEN": self._address}
        environment |= {"PYTHONUNBUFFERED": "1"}  # stdout and stderr in the order in which a terminal shows them
        self._folder = folder
        self._environment = environment
        self._servers: list[subprocess.Popen[bytes]] = []
        self._bash = subprocess.Popen(
            ["bash", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bash.poll() is None:
            self._send("kill -9 $(jobs -p) 2>/dev/null; exit")
        self._bash.communicate(timeout=WITHIN_S)
        for server in self._servers:
            server.communicate(timeout=WITHIN_S)  # its guard ends it with its standard input

    def _send(self, text: str) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.write(text + "\n")
        self._bash.stdin.flush()

    def run(self, command: str) -> tuple[str, int]:
        """What a command printed, stdout and stderr together, and its exit status."""
        assert self._bash.stdout is not None
        command = command.replace(_DEFAULT_ADDRESS, self._address)
        self._send(f"{command}\nprintf '{_MARK}%d\\n' $?")
        # With all that it has started: while one of those lives, reading waits for it.
        watchdog = Timer(WITHIN_S, os.killpg, (self._bash.pid, signal.SIGKILL))
        watchdog.start()
        lines = list[str]()
        while _MARK not in (line := self._bash.stdout.readline()):
            assert line, f"the shell ended at {command!r}, or it took more than {WITHIN_S:.0f} s"
            lines.append(line)
        watchdog.cancel()
        last, _, status = line.partition(_MARK)
        printed = _JOB_NOTICE.sub("", "".join(lines) + last)
        return printed.replace(self._address, _DEFAULT_ADDRESS), int(status)

    def serve(self, command: str) -> None:
        """Run a nats-server as in a second terminal, but on a free port, which the commands are told of."""
        port = _free_port()
        guard = [sys.executable, "-I", "-S", embedded_guard.__file__, str(self._folder)]
        server = subprocess.Popen(
            [*guard, *shlex.split(command), "-p", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            env=self._environment,
        )
        self._servers.append(server)

        def listens() -> bool:
            assert server.poll() is None, f"{command!r} ended"
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S):
                return True
            return False

        wait_until(listens, lambda: f"{command!r} does not listen")
        self.run(f"export PROJECTION_NATS__URL=nats://127.0.0.1:{port}")

    def follow(self, block: Block) -> None:
        """Do what a block says: write its file, or run its commands and compare what they print."""
        if "file" in block:
            (self._here() / block.attributes["file"]).write_text(block.text.replace(_DEFAULT_ADDRESS, self._address))
        elif "second-terminal" in block:
            for command, _ in commands(block):
                self.serve(command)
        elif block.is_run:
            for command, shown in commands(block):
                self._compare(block, command, shown)

    def _here(self) -> Path:
        return Path(self.run("pwd")[0].strip())

    def _compare(self, block: Block, command: str, shown: str) -> None:
        found, status = self.run(command)
        end = monotonic() + (WITHIN_S if "eventually" in block else 0.0)
        while not agrees(shown, found) and monotonic() < end:
            found, status = self.run(command)
        logs = "".join(f"\n{log.name}:\n{log.read_text()}" for log in sorted(self._here().glob("*.log")))
        assert agrees(shown, found), f"{block.place}: `{command}` prints\n{found}\nand the page shows\n{shown}{logs}"
        assert int(block.attributes.get("status", 0)) == status, f"{block.place}: `{command}`"
