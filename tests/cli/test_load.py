"""`projection load`, through the command and a real server: every event once, in order, as it stood in the file."""

import asyncio
import gzip
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from patience import WITHIN_S
from warm_commands import warm_commands

from projection.errors import StreamError
from projection.model.subjects import SubjectTemplate
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.embedded import EmbeddedServer
from projection.stream.jetstream import STREAM_NOT_FOUND, JetStream
from projection.testing.shop import shop_lines

# The command, with something done to it when the acknowledgement of event AT arrives; and no long pauses to retry.
DISTURBED = """
import contextlib, os, signal
from projection.cli import load, main
from projection.stream import publisher
publisher._RETRY_PAUSE_S = 0.01
at, act = int(os.environ["AT"]), os.environ["ACT"]

@contextlib.contextmanager
def progress(doing, total):
    def acknowledged(count):
        if count == at:
            exec(act)
    yield acknowledged

load.progress = progress
main.main()
"""


def run(*arguments, folder, **more_env):
    return warm_commands().run(["projection", "load", *map(str, arguments)], folder, {**os.environ, **more_env})


def disturbed(*arguments, folder, **more_env):
    return subprocess.run(
        [sys.executable, "-c", DISTURBED, "load", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        cwd=folder,
        env={**os.environ, **more_env},
    )


def write(path: Path, lines):
    content = b"".join(line + b"\n" for line in lines)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def stored(url, stream):
    """What the stream holds: (subject, bytes) in order; None where there is no such stream."""

    async def read():
        async with await Nats.connect(NatsConnection(url)) as nats:
            log = JetStream(nats)
            try:
                end = (await log.stream_info(stream)).state.last_seq
            except StreamError as error:
                if error.code != STREAM_NOT_FOUND:
                    raise
                return None
            messages = [await log.message(stream, sequence) for sequence in range(1, end + 1)]
            return [(message.subject, message.data) for message in messages]

    return asyncio.run(read())


def subjects_of(lines, template):
    parsed = SubjectTemplate.parse(template)
    for line in lines:
        event = json.loads(line)
        yield parsed.subject(event["tenant_id"], event["aggregate_type"], event["aggregate_id"])


class Target(NamedTuple):
    """A stream of this test's own, with subjects of its own: two streams of one server may not share any."""

    url: str
    name: str

    @property
    def template(self):
        return f"{self.name}.<tenant>.aggregate.<type>.<id>"

    @property
    def options(self):
        return ("--url", self.url, "--stream", self.name, "--subject-template", self.template)

    def stored(self):
        return stored(self.url, self.name)


@pytest.fixture
def target(nats_server, stream_name):
    return Target(nats_server.url, stream_name)


@pytest.mark.parametrize("name", ["shop.jsonl", "shop.jsonl.gz"])
def test_each_event_of_a_file_is_stored_once_in_order_and_unchanged(tmp_path, target, name):
    lines = list(shop_lines(300))
    ended = run(write(tmp_path / name, lines), "--create", *target.options, folder=tmp_path)
    assert ended.returncode == 0
    result = msgspec.json.decode(ended.stdout)
    assert {k: v for k, v in result.items() if k != "seconds"} == {
        "events": 300,
        "first_sequence": 1,
        "last_sequence": 300,
    }
    assert 0 < result["seconds"]
    assert "published 300 events" in ended.stderr
    assert list(zip(subjects_of(lines, target.template), lines, strict=True)) == target.stored()


def test_a_folder_is_loaded_as_if_its_files_were_one_and_errors_name_the_file(tmp_path, target):
    lines = list(shop_lines(30))
    folder = tmp_path / "events"
    folder.mkdir()
    write(folder / "2026-01.jsonl", lines[:10])
    write(folder / "2026-02.jsonl.gz", [lines[10], b"", *lines[11:20]])
    write(folder / "2026-03.jsonl", [*lines[20:], b"{}"])
    ended = run("events", "--create", *target.options, folder=tmp_path)
    assert ended.returncode == 1
    assert "line 11 of 'events/2026-03.jsonl': " in ended.stderr
    assert target.stored() is None
    write(folder / "2026-03.jsonl", lines[20:])
    assert run("events", "--create", "--limit", "15", *target.options, folder=tmp_path).returncode == 0
    assert run("events", "--from-line", "17", *target.options, folder=tmp_path).returncode == 0
    assert lines == [data for _, data in target.stored()]


def test_the_default_subject_is_that_of_the_tenant_and_the_aggregate_with_every_token_escaped(tmp_path):
    event = b'{"tenant_id":"caf\xc3\xa9/7.*","aggregate_type":"o>","aggregate_id":"","event_type":"E","payload":{},"timestamp":"t"}'
    nameless = b'{"aggregate_type":"o","aggregate_id":"1","event_type":"E","payload":{},"timestamp":"t"}'
    with EmbeddedServer(tmp_path / "server") as server:
        ended = run(write(tmp_path / "f.jsonl", [event, nameless]), "--create", "--url", server.url, folder=tmp_path)
        assert (ended.returncode, ended.stderr.partition("published")[0]) == (0, "")
        assert [
            ("tenant.caf%C3%A9%2F7%2E%2A.aggregate.o%3E.%-", event),
            ("tenant.%-.aggregate.o.1", nameless),
        ] == stored(server.url, "events")


def test_unknown_fields_spacing_and_the_spelling_of_numbers_are_kept(tmp_path, target):
    odd = (
        b'{ "aggregate_id" : "1", "aggregate_type":"o","event_type":"E","timestamp":"t","tenant_id":"a", "extra":{"x":[]},'
        b'"payload":{"amount":62.590, "big":123456789012345678901234567890}}'
    )
    assert (
        run(write(tmp_path / "f.jsonl", [b"", odd, b""]), "--create", *target.options, folder=tmp_path).returncode == 0
    )
    assert [odd] == [data for _, data in target.stored()]


def test_a_slice_of_a_file_is_named_by_its_first_line_and_its_length(tmp_path, target):
    lines = list(shop_lines(50))
    ended = run(
        write(tmp_path / "f.jsonl", lines),
        "--create",
        "--from-line",
        11,
        "--limit",
        20,
        *target.options,
        folder=tmp_path,
    )
    assert (ended.returncode, msgspec.json.decode(ended.stdout)["events"]) == (0, 20)
    assert lines[10:30] == [data for _, data in target.stored()]


def test_an_empty_file_loads_nothing_and_that_is_no_error(tmp_path, target):
    ended = run(write(tmp_path / "f.jsonl", []), "--create", *target.options, folder=tmp_path)
    assert (ended.returncode, msgspec.json.decode(ended.stdout)["events"]) == (0, 0)
    assert target.stored() == []


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (b'{"aggregate_type":', "is not JSON"),
        (b'{"aggregate_type":"o","aggregate_id":"1","payload":{},"timestamp":"t"}', "`event_type`"),
        (
            b'{"tenant_id":"%s","aggregate_type":"o","aggregate_id":"1","event_type":"E","payload":{},"timestamp":"t"}'
            % (b"x" * 201),
            "tenant id",
        ),
        (
            b'{"aggregate_type":"o","aggregate_id":"%s","event_type":"E","payload":{},"timestamp":"t"}' % (b"." * 400),
            "subject token of 1200 bytes",
        ),
    ],
)
def test_one_wrong_event_is_named_with_its_line_and_nothing_is_published(tmp_path, target, wrong, reason):
    lines = list(shop_lines(40))
    lines[29:30] = [b"", wrong]
    ended = run(write(tmp_path / "f.jsonl", lines), "--create", *target.options, folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("error: line 31 of ")
    assert "f.jsonl" in ended.stderr
    assert reason in ended.stderr
    assert "hint: nothing was published" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert target.stored() is None


def test_a_torn_gz_file_publishes_nothing(tmp_path, target):
    path = tmp_path / "f.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join(shop_lines(500)))[:-200])
    ended = run(path, "--create", *target.options, folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "is not whole gzip data" in ended.stderr
    assert target.stored() is None


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path, target):
    ended = run("nope.jsonl", *target.options, folder=tmp_path)
    assert (ended.returncode, ended.stderr) == (2, "error: there is no file 'nope.jsonl'\n")


def test_a_stream_is_made_only_when_asked(tmp_path, target):
    ended = run(write(tmp_path / "f.jsonl", shop_lines(3)), *target.options, folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"error: there is no stream '{target.name}' at {target.url}\n  hint: make it with --create\n" == ended.stderr
    assert target.stored() is None


def test_a_stream_that_exists_is_added_to_with_or_without_create(tmp_path, target):
    lines = list(shop_lines(3))
    path = write(tmp_path / "f.jsonl", lines)
    results = [run(path, *more, *target.options, folder=tmp_path) for more in (["--create"], ["--create"], [])]
    assert [msgspec.json.decode(ended.stdout)["first_sequence"] for ended in results] == [1, 4, 7]
    assert lines * 3 == [data for _, data in target.stored()]


def test_no_server_at_the_url_is_told_at_once(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"nats://127.0.0.1:{unused.getsockname()[1]}"
        ended = run(write(tmp_path / "f.jsonl", shop_lines(3)), "--url", url, folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"error: no connection to a NATS server at {url}")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--stream", "a b", "option --stream: 'a b' is not a stream's name"),
        ("--url", "http://x", "option --url: 'http://x' is not the URL of a NATS server"),
        ("--subject-template", "x.<id>", "option --subject-template: 'x.<id>' must name <type> once"),
        ("--limit", "0", "--limit"),
        ("--from-line", "0", "--from-line"),
        ("--config", "nope.yaml", "nope.yaml"),
    ],
)
def test_a_wrong_option_is_named_with_its_value(tmp_path, option, value, said):
    ended = run(write(tmp_path / "f.jsonl", shop_lines(3)), option, value, folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_password_in_the_url_is_refused_and_not_shown(tmp_path):
    ended = run(write(tmp_path / "f.jsonl", shop_lines(3)), "--url", "nats://me:s3cr3t@127.0.0.1", folder=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "s3cr3t" not in ended.stderr


def test_settings_name_server_and_stream_and_options_win_over_them(tmp_path, target):
    path = write(tmp_path / "f.jsonl", shop_lines(3))
    (tmp_path / "node.json").write_text(json.dumps({"nats": {"url": target.url}, "stream": f"{target.name}-other"}))
    common = (path, "--create", "--config", "node.json")
    from_settings = run(*common, "--subject-template", f"other-{target.template}", folder=tmp_path)
    from_options = run(*common, "--stream", target.name, "--subject-template", target.template, folder=tmp_path)
    assert (from_settings.returncode, from_options.returncode) == (0, 0)
    assert (len(stored(target.url, f"{target.name}-other")), len(target.stored())) == (3, 3)


def test_a_tenant_is_refused_while_multi_tenancy_is_off(tmp_path, target):
    ended = run(
        write(tmp_path / "f.jsonl", shop_lines(3)),
        "--create",
        *target.options,
        folder=tmp_path,
        PROJECTION_MULTI_TENANCY="false",
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "line 1 of " in ended.stderr
    assert "while multi-tenancy is off" in ended.stderr
    assert target.stored() is None


def next_line(stderr):
    return int(stderr.rpartition("--from-line ")[2].split(",")[0])


def test_an_interrupted_load_says_where_to_go_on_and_going_on_there_loses_and_repeats_nothing(tmp_path, target):
    lines = list(shop_lines(5_000))
    lines[100:100] = [b"", b""]  # lines are counted as an editor counts them
    path = write(tmp_path / "f.jsonl", lines)
    interrupt = {"AT": "500", "ACT": "os.kill(os.getpid(), signal.SIGINT)"}
    first = disturbed(path, "--create", *target.options, folder=tmp_path, **interrupt)
    assert (first.returncode, first.stdout) == (130, "")
    assert first.stderr.startswith("interrupted: ")
    assert 500 < next_line(first.stderr) < 5_002
    second = run(path, "--from-line", next_line(first.stderr), *target.options, folder=tmp_path)
    assert second.returncode == 0
    assert list(shop_lines(5_000)) == [data for _, data in target.stored()]


def test_a_server_that_dies_is_told_with_the_place_to_go_on_from(tmp_path):
    lines = list(shop_lines(3_000))
    path = write(tmp_path / "f.jsonl", lines)
    with EmbeddedServer(tmp_path / "server") as server:
        options = ("--create", "--url", server.url)
        kill = {"AT": "500", "ACT": f"os.kill({server.pid}, signal.SIGKILL)"}
        ended = disturbed(path, *options, folder=tmp_path, **kill)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr.startswith("error: publishing to stream 'events' ended: ")
        line = next_line(ended.stderr)
        server.stop()
        server.start()
        kept = stored(server.url, "events")
        assert 500 < line <= len(kept) + 1
        again = run(path, "--from-line", len(kept) + 1, "--url", server.url, folder=tmp_path)
        assert again.returncode == 0
        assert lines == [data for _, data in stored(server.url, "events")]
