"""What the tests of the commands share: running one as a user does, and the files that it is given."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from contextlib import chdir, contextmanager, redirect_stderr
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner
from patience import WITHIN_S, wait_until
from warm_commands import warm_commands

from projection.bundled import bundled
from projection.cli.console import report
from projection.cli.main import app
from projection.errors import ProjectionError
from projection.model.ids import ViewType
from projection.model.subjects import SubjectTemplate
from projection.query.reading import serving_reader
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream
from projection.stream.publisher import Outgoing, publish_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

COUNTER = """\
proj 1
projection counter

event Counted { id: string, n: int }

view Counter { total: int = 0 }

on Counted as e to e.id
  when e.n < 0 => fail("NEGATIVE", "{e.n} is below zero")
  else =>
    let counter = view ?? {};
    counter with { total += e.n }
"""
SHOP = ("shop_customers", "shop_orders", "shop_sales")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "projection", *map(str, arguments)]


def environment(**more: str) -> dict[str, str]:
    """That of this test, without the settings of whoever runs it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PROJECTION_")}
    return {**own, "COLUMNS": "80", "PROJECTION_HTTP__LISTEN": "127.0.0.1:0", **more}


def started_anew(*arguments: object, folder: Path, **more_env: str) -> subprocess.CompletedProcess[str]:
    """A command whose test is also about how a process starts; most others are forked from one that has started."""
    return subprocess.run(
        command(*arguments),
        check=False,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        cwd=folder,
        env=environment(**more_env),
    )


def projection(*arguments: object, folder: Path, **more_env: str) -> subprocess.CompletedProcess[str]:
    return warm_commands().run(["projection", *map(str, arguments)], folder, environment(**more_env))


def in_this_process(*arguments: object, folder: Path, **more_env: str) -> subprocess.CompletedProcess[str]:
    """The same without a process of its own, whose start is most of what a short command takes."""
    settings: dict[str, str | None] = dict.fromkeys(name for name in os.environ if name.startswith("PROJECTION_"))
    words = [str(one) for one in arguments]
    with chdir(folder):
        done = CliRunner().invoke(app, words, env={**settings, "COLUMNS": "80", **more_env})
    said = io.StringIO()
    status = done.exit_code
    if isinstance(done.exception, ProjectionError):
        status = done.exception.exit_status
        with redirect_stderr(said):
            report(done.exception)
    elif done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(words, status, done.stdout, done.stderr + said.getvalue())


def refused(ended: subprocess.CompletedProcess[str], status: int, *said: str) -> None:
    """It ended with this status and one error that says this: no output, no traceback, no talk of a bug."""
    assert (status, "") == (ended.returncode, ended.stdout), ended.stderr
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert 1 == len(errors), ended.stderr
    for part in said:
        assert part in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "bug" not in ended.stderr


def deploy(folder: Path, program: str = COUNTER, *, stream: str | None = None, **entry: Any) -> Path:
    """One program and its manifest, which is what commands look for in a folder."""
    (folder / "counter.proj").write_text(program)
    return write_manifest(folder, {"counter": {"program": "counter.proj", **entry}}, stream)


def deploy_shop(folder: Path, stream: str) -> Path:
    """The bundled shop, on subjects of its own: two streams of one server may not share any."""
    for name in SHOP:
        (folder / f"{name}.proj").write_bytes(bundled(f"projections/{name}/program.proj").read_bytes())
    return write_manifest(folder, {name: {"program": f"{name}.proj"} for name in SHOP}, stream)


def write_manifest(folder: Path, views: Mapping[str, Any], stream: str | None) -> Path:
    own_subjects = {} if stream is None else {"subject_template": template(stream)}
    path = folder / "manifest.yaml"
    path.write_text(json.dumps({"manifest": 1, **own_subjects, "views": views}))
    return path


def template(stream: str) -> str:
    return f"{stream}.<tenant>.aggregate.<type>.<id>"


def counted(view_id: str, n: int = 1, tenant: str = "a", **more: Any) -> bytes:
    fields = {
        "tenant_id": tenant,
        "aggregate_type": "counter",
        "aggregate_id": view_id,
        "event_type": "Counted",
        "payload": {"id": view_id, "n": n},
        "timestamp": "2024-01-01T00:00:00Z",
        **more,
    }
    return json.dumps(fields, ensure_ascii=False).encode()


def write_events(path: Path, events: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(event + b"\n" for event in events))
    return path


def line(view_id: str, total: int, tenant: str = "a") -> str:
    """One view as commands print it."""
    return f'{{"tenant_id":"{tenant}","view_type":"counter","view_id":"{view_id}","view":{{"total":{total}}}}}\n'


def fill(server: str | NatsConnection, stream: str, events: Iterable[bytes], subject: str | None = None) -> int:
    """Publish events to a stream of this test's own; the sequence of the last. Without any, it is only made."""
    subjects = SubjectTemplate.parse(template(stream))

    def outgoing(event: bytes) -> Outgoing:
        if subject is not None:
            return Outgoing(subject, event)
        fields = json.loads(event)
        return Outgoing(subjects.subject(fields["tenant_id"], fields["aggregate_type"], fields["aggregate_id"]), event)

    async def publish() -> int:
        connection = NatsConnection(server) if isinstance(server, str) else server
        async with await Nats.connect(connection) as nats:
            await JetStream(nats).ensure_stream(stream, [f"{stream}.>"])
            return (await publish_all(nats, stream, map(outgoing, events))).last

    return asyncio.run(publish())


@contextmanager
def started(*arguments: object, folder: Path, **more_env: str) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on meanwhile; killed at the end, if it is still there."""
    with (folder / "stderr.txt").open("a+") as stderr:
        running = subprocess.Popen(
            command(*arguments),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=folder,
            env=environment(**more_env),
        )
        try:
            yield running
        finally:
            running.kill()
            running.communicate()


def eventually(condition: Callable[[], Any], running: subprocess.Popen[str]) -> None:
    """Wait until it holds, while the command runs."""

    def holds() -> bool:
        found = bool(condition())
        assert found or running.poll() is None, f"it ended with {running.returncode}"
        return found

    wait_until(holds)


def scanned(data: Path, view_type: str) -> int:
    """The committed position of a view type; 0 while there is none."""
    try:
        with serving_reader(data, ViewType(view_type)) as reader:
            return reader.position().scanned
    except ProjectionError:
        return 0
