"""Services of deploy/compose.yaml as processes, where there is no daemon for containers.

Commands, environments, volumes and secrets are those of the file, and so are the paths and addresses in the configuration
that it mounts: each process has a root of its own that cannot be written to, and all are in a network of their own, in which
names of services lead to them. In place of an image, there are the programs of this machine; they run as root.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
import yaml
from container_support import CHECKOUT
from patience import WITHIN_S

if TYPE_CHECKING:
    from collections.abc import Mapping

DEPLOY = CHECKOUT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
_DOCKERFILE = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
IN_IMAGE = dict(re.findall(r"(PROJECTION_\w+)=(\S+)", re.findall(r"^ENV .*$", _DOCKERFILE, re.MULTILINE)[-1]))
_WITH_THIS_PROCESS = ["setpriv", "--pdeathsig", "KILL"]  # whatever is started ends with it, also where that is killed
_LOOPBACK_UP = (
    "import fcntl, socket, struct; s = socket.socket(); "
    "fcntl.ioctl(s, 0x8914, struct.pack('16sH14x', b'lo', 1))"  # SIOCSIFFLAGS, IFF_UP
)
_NETWORK = '"$1" -c "$2"; echo ready; exec sleep infinity'
_ROOT = """
root="$1"; shift
mount -t tmpfs root "$root"
for path in /*; do
  case "$path" in /etc|/run) continue ;; esac
  if [ -L "$path" ]; then cp -P "$path" "$root$path"
  elif [ -d "$path" ]; then mkdir "$root$path"
    case "$path" in /dev|/proc|/sys) mount --rbind "$path" "$root$path" ;;
      *) mount --bind "$path" "$root$path"; mount -o remount,bind,ro "$root$path" ;; esac
  fi
done
cp -a /etc "$root/etc"
echo nameserver 127.0.0.1 > "$root/etc/resolv.conf"
echo 127.0.0.1 localhost > "$root/etc/hosts"
while [ "$1" != -- ]; do
  mkdir -p "$(dirname "$root$2")"
  if [ -d "$1" ]; then mkdir -p "$root$2"; else touch "$root$2"; fi
  mount --bind "$1" "$root$2"
  if [ "$3" = ro ]; then mount -o remount,bind,ro "$root$2"; fi
  shift 3
done
shift
mount -o remount,ro "$root"
exec chroot "$root" /usr/bin/env -i "$@"
"""


def require_namespaces() -> None:
    """Skip a test where a process cannot be given a network and a root of its own."""
    missing = [name for name in ("unshare", "nsenter", "setpriv", "chroot") if shutil.which(name) is None]
    if missing or not sys.platform.startswith("linux") or os.geteuid() != 0:
        pytest.skip(
            "nothing of deploy/compose.yaml was run: that takes root on Linux, with unshare, nsenter and setpriv"
        )
    if subprocess.run(["unshare", "--mount", "--net", "true"], check=False, capture_output=True).returncode:
        pytest.skip("nothing of deploy/compose.yaml was run: nobody may make namespaces here")


class Stack:
    """A network with its name server, and the services that were started in it."""

    def __init__(
        self,
        folder: Path,
        variables: Mapping[str, str],
        instead: Mapping[str, Path],
        environment: Mapping[str, str | None],
    ) -> None:
        """A stack of which nothing runs yet.

        Args:
            folder: where volumes and logs are.
            variables: of the host, which compose.yaml names.
            instead: files that are mounted in place of those of the checkout, by their path in `deploy/`.
            environment: of services, stronger than what the file says; None where a variable is left out.
        """
        self._folder, self._variables, self._instead, self._stronger = folder, variables, instead, environment
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        network = [*_WITH_THIS_PROCESS, "unshare", "--net", "sh", "-euc", _NETWORK, "sh", sys.executable, _LOOPBACK_UP]
        self._network = subprocess.Popen(network, stdout=subprocess.PIPE, text=True)
        self._await_ready(self._network)
        inside = [sys.executable, str(Path(__file__).with_name("compose_inside.py")), *COMPOSE["services"]]
        self._inside = subprocess.Popen(
            [*self._in_network, *inside], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._await_ready(self._inside)
        return self

    def __exit__(self, *_: object) -> None:
        for name in reversed([*self._running]):
            self.stop(name)
        for process in (self._inside, self._network):
            process.kill()
            process.communicate()

    @staticmethod
    def _await_ready(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        assert "ready\n" == process.stdout.readline()

    @property
    def _in_network(self) -> list[str]:
        return [*_WITH_THIS_PROCESS, "nsenter", "--target", str(self._network.pid), "--net"]

    def start(self, service: str, program: list[str], **more_env: str) -> subprocess.Popen[bytes]:
        """Run a service.

        Args:
            service: its name in compose.yaml.
            program: what stands in for its image: the command, to which that of the file is added.
            more_env: variables that the image has, or this machine's program needs.
        """
        described = COMPOSE["services"][service]
        mounts = [part for mount in self._mounts(described) for part in mount]
        root = self._folder / f"root of {service}"
        root.mkdir(exist_ok=True)
        command = [*program, *described.get("command", [])]
        inside = [
            "unshare",
            "--mount",
            "sh",
            "-euc",
            _ROOT,
            "sh",
            str(root),
            *mounts,
            "--",
            *self._environment(described, more_env),
            *command,
        ]
        with self.log(service).open("ab") as log:
            running = subprocess.Popen([*self._in_network, *inside], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._running[service] = running
        return running

    def stop(self, service: str) -> int:
        """End a service as `docker compose stop` does; its status."""
        running = self._running.pop(service)
        running.terminate()
        try:
            return running.wait(WITHIN_S)
        finally:
            running.kill()
            running.wait()

    def run(self, service: str, *command: str, **more_env: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a service's root, as `docker compose exec` does."""
        environment = self._environment(COMPOSE["services"][service], more_env)
        there = ["nsenter", "--target", str(self._running[service].pid), "--mount", "--net", "--root"]
        words = [*there, "/usr/bin/env", "-i", *environment, *command]
        return subprocess.run(words, capture_output=True, text=True, check=False, timeout=WITHIN_S)

    def get(self, url: str) -> Any:
        """The JSON of a URL; None where nobody answers, or not with 200."""
        assert self._inside.stdin is not None
        assert self._inside.stdout is not None
        self._inside.stdin.write(url + "\n")
        self._inside.stdin.flush()
        status, body = json.loads(self._inside.stdout.readline())
        with suppress(ValueError):
            return json.loads(body) if status == 200 else None
        return None

    def log(self, service: str) -> Path:
        """What a service has written."""
        return self._folder / f"{service}.log"

    def kill(self, service: str) -> None:
        """End a service as `kill -9` does."""
        running = self._running.pop(service)
        running.kill()
        running.wait()

    def runs(self) -> bool:
        """Whether all services that were started and not ended still run."""
        return all(one.poll() is None for one in self._running.values())

    def told(self) -> str:
        """The ends of all logs."""
        return "\n".join(f"{name}: {self.log(name).read_text()[-2000:]}" for name in self._running)

    def _environment(self, described: Mapping[str, Any], of_image: Mapping[str, str]) -> list[str]:
        variables = {"PATH": os.environ["PATH"], **of_image, **described.get("environment", {}), **self._stronger}
        return [f"{name}={self._filled_in(value)}" for name, value in variables.items() if value is not None]

    def _mounts(self, described: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """Source, target and mode of what the file mounts for a service."""
        found = []
        for volume in described.get("volumes", []):
            source, target, mode = [*self._filled_in(volume).split(":"), "rw"][:3]
            found.append((str(self._source(source)), target, mode))
        for secret in described.get("secrets", []):
            file = self._filled_in(COMPOSE["secrets"][secret]["file"])
            found.append((str(self._source(file)), f"/run/secrets/{secret}", "ro"))
        return found

    def _source(self, named: str) -> Path:
        if named in COMPOSE["volumes"]:
            volume = self._folder / f"volume {named}"
            volume.mkdir(exist_ok=True)
            return volume
        return self._instead.get(named.removeprefix("./"), (DEPLOY / named).resolve())

    def _filled_in(self, value: object) -> str:
        return re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: self._variables.get(found[1], found[2]), str(value))
