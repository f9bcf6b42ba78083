"""An image built without a daemon, and commands run in it with a read-only root and a network of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from projection.errors import ConfigurationError
from projection.stream.embedded import server_binary

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).resolve().parents[2]
SUITE = "trixie"
MIRROR = "http://deb.debian.org/debian"
_LOOPBACK_UP = (
    "import fcntl, socket, struct; s = socket.socket(); "
    "fcntl.ioctl(s, 0x8914, struct.pack('16sH14x', b'lo', 1))"  # SIOCSIFFLAGS, IFF_UP
)
_MOUNTS = """
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
mount --bind "$2" "$1/data"
mount --bind "$3" "$1/etc/projection"
mount -o remount,bind,ro "$1/etc/projection"
mount -t proc proc "$1/proc"
"$4" -c "$5"
echo mounted
exec "$6" -js -sd "$7" -a 127.0.0.1
"""


def needed(*programs: str) -> None:
    """Skip the test that needs these, with what was not tried."""
    missing = [name for name in programs if shutil.which(name) is None]
    if missing or not sys.platform.startswith("linux") or os.geteuid() != 0:
        why = f"{', '.join(missing)} not installed" if missing else "not root on Linux"
        pytest.skip(f"no image was built or run: {why}; only the text of deploy/Dockerfile was checked")


@dataclass
class Builder:
    """`buildah`, with storage that is this test's."""

    folder: Path
    told: list[str] = field(default_factory=list)  # what was done, for whoever reads the run

    def __post_init__(self) -> None:
        (self.folder / "policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')

    def __call__(self, command: str, *arguments: object) -> str:
        storage = ("--root", self.folder / "root", "--runroot", self.folder / "run", "--storage-driver", "vfs")
        words = ["buildah", *storage, command, *arguments]
        ran = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, cwd=CHECKOUT)
        assert ran.returncode == 0, f"buildah {command}: {ran.stdout[-2000:]}\n{ran.stderr[-4000:]}"
        return ran.stdout

    def base(self) -> str:
        """A small Debian: made by mmdebstrap or debootstrap where one is at hand, else that of the registry."""
        context = self.folder / "base"
        context.mkdir()
        without = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")]
        if shutil.which("mmdebstrap"):
            command = ["mmdebstrap", "--quiet", "--variant=minbase", *without, SUITE, str(context / "root.tar"), MIRROR]
        elif shutil.which("debootstrap"):
            make = f'debootstrap --variant=minbase {SUITE} "$1" {MIRROR} && tar -C "$1" -cf "$2" .'
            command = ["sh", "-c", make, "sh", str(self.folder / "made"), str(context / "root.tar")]
        else:
            self.told.append("base: debian:trixie-slim of the registry")
            return f"docker.io/library/debian:{SUITE}-slim"
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr[-4000:]
        (context / "Dockerfile").write_text("FROM scratch\nADD root.tar /\n")
        self("build", *self.policy, "--tag", "localhost/base", context)
        self.told.append(f"base: made by {Path(command[0]).name}")
        return "localhost/base"

    @property
    def policy(self) -> tuple[object, ...]:
        return "--signature-policy", self.folder / "policy.json", "--isolation", "chroot"

    @property
    def secrets(self) -> list[object]:
        """How this machine reaches an index of packages, if not as every other one does."""
        given: list[object] = []
        lines = ["[global]"]
        if certificate := os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE"):
            given += ["--secret", f"id=ca,src={certificate}"]
            lines.append("cert = /run/secrets/ca")
        if index := os.environ.get("PIP_INDEX_URL"):
            lines.append(f"index-url = {index}")
        (self.folder / "pip.conf").write_text("\n".join(lines) + "\n")
        return [*given, "--secret", f"id=pip,src={self.folder / 'pip.conf'}"]

    def image(self, version: str, commit: str) -> str:
        arguments = {"BASE": self.base(), "VERSION": version, "COMMIT": commit}
        named = [part for name, value in arguments.items() for part in ("--build-arg", f"{name}={value}")]
        file = ("--file", "deploy/Dockerfile", "--ignorefile", "deploy/Dockerfile.dockerignore", "--format", "docker")
        self("build", *self.policy, *file, *named, *self.secrets, "--tag", "localhost/projection-node", CHECKOUT)
        self.told.append("image: built by buildah, isolation chroot")
        return "localhost/projection-node"


@dataclass
class Image:
    """What was built: its settings, and its files as they are mounted."""

    settings: dict[str, Any]
    root: Path
    size: int  # bytes of all files


@contextmanager
def built(builder: Builder, version: str, commit: str) -> Iterator[Image]:
    name = builder.image(version, commit)
    settings = json.loads(builder("inspect", "--type", "image", name))["Docker"]["config"]
    container = builder("from", "--signature-policy", builder.folder / "policy.json", "--pull-never", name).strip()
    root = Path(builder("mount", container).strip())
    try:
        files = [path.lstat() for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
        yield Image(settings, root, sum(one.st_size for one in files))
    finally:
        builder("umount", container)
        shutil.rmtree(builder.folder / "root")


@dataclass
class Container:
    """A root that cannot be written to, a data folder and a manifest mounted there, and a NATS server beside it."""

    image: Image
    holder: int

    def command(self, *words: str, **more_env: str) -> list[str]:
        environment = [*self.image.settings["Env"], *(f"{name}={value}" for name, value in more_env.items())]
        inside = ("nsenter", "--target", str(self.holder), "--mount", "--net", "chroot")
        user = f"--userspec={self.image.settings['User']}"
        return [*inside, user, str(self.image.root), "/usr/bin/env", "-i", *environment, *words]

    def run(self, *words: str, **more_env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*words, **more_env), capture_output=True, text=True, check=False)

    def start(self, **more_env: str) -> subprocess.Popen[str]:
        """What the image starts by itself."""
        words = [*self.image.settings["Entrypoint"], *self.image.settings["Cmd"]]
        pipe = subprocess.PIPE
        return subprocess.Popen(self.command(*words, **more_env), stdout=pipe, stderr=subprocess.DEVNULL, text=True)

    def asked(self, path: str) -> str:
        """The status and what is answered at a path, as the health check prints it."""
        return self.run("python3", "/opt/projection/healthcheck.py", path).stdout

    def health(self, path: str | None = None) -> bool:
        """What its health check says; of another path than its own, if one is named."""
        test = self.image.settings["Healthcheck"]["Test"]
        return self.run(*test[1:-1], path or test[-1]).returncode == 0


@contextmanager
def contained(image: Image, folder: Path, manifest: Path) -> Iterator[Container]:
    try:
        nats_server = server_binary()
    except ConfigurationError as error:
        pytest.skip(f"the image was built and not run: {error.message}")
    data = folder / "data"
    data.mkdir()
    user, _, group = image.settings["User"].partition(":")
    os.chown(data, int(user), int(group))
    given = (image.root, data, manifest, sys.executable, _LOOPBACK_UP, nats_server, folder / "nats")
    words = ["unshare", "--mount", "--net", "sh", "-euc", _MOUNTS, "sh", *map(str, given)]
    said = folder / "holder.txt"
    with said.open("wb") as told:
        holder = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=told)
    with holder:
        try:
            # Until then, whoever enters finds what is mounted outside, or only a part of what is to be there.
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"mounted\n", said.read_text()
            yield Container(image, holder.pid)
        finally:
            holder.kill()
