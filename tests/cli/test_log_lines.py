"""What a process writes to its log: in the form that is asked for, by levels that change while it runs, without secrets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from urllib.parse import quote

import pytest
from command_support import counted, deploy, eventually, fill, projection, refused, scanned, started
from hypothesis import assume, given
from hypothesis import strategies as st
from patience import WITHIN_S

from projection.model.secrets import HIDDEN, Redaction, secrets_in
from projection.model.settings import Settings

SECRETS = {
    "nats.password": 'pa"ss\\wörd and more',
    "http.access.secret": "0123456789abcdef-of-the-gateway",
}
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
SEED = "SU" + "A2BC4DEF" * 7
PROGRAM = """
import json, sys, structlog
from projection.cli.logs import configure_logs, end_logs
from projection.model.settings import Settings
log = structlog.get_logger(component="stream")
settings = Settings(
    nats={"user": "u", "password": sys.argv[1]},
    http={"access": {"mode": "header", "secret": sys.argv[2]}},
    log={"format": sys.argv[3], "level": "info,stream=debug"},
)
configure_logs(settings, "of-the-database")
for shown in json.loads(sys.argv[4]):
    log.debug(f"plainly {shown}", of=shown, deep={"list": [shown]}, bytes=shown.encode(), reason=f"<{shown}>")
try:
    raise RuntimeError(f"it had {sys.argv[1]} and {sys.argv[2]}")
except RuntimeError:
    log.exception("a fault", settings=repr(settings), dump=settings.model_dump_json())
structlog.get_logger(component="http").debug("not written")
structlog.get_logger().info("of the node")
end_logs()
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_planted_secrets_are_in_no_line_whatever_holds_them(form):
    password, secret = SECRETS.values()
    escaped = quote(password, safe="")
    planted = {  # by what holds it
        password: password,
        f"the header was {secret}": secret,
        f"/path?password={escaped}": escaped,
        "a password of-the-database": "of-the-database",
        "nats://somebody:else-s-password@host:4222": "else-s-password",
        f"authorization: Bearer {JWT}": JWT,
        f"token={JWT};": JWT,
        f"seed {SEED}": SEED,
        "authorization: Basic dXNlcjpzZWNyZXQtd29yZA==": "dXNlcjpzZWNyZXQtd29yZA==",
    }
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, password, secret, form, json.dumps([*planted])],
        check=True, capture_output=True, text=True, env=os.environ | {"PYTHONUTF8": "1"}, timeout=WITHIN_S,
    )  # fmt: skip
    written, shown = ran.stderr, [*planted]
    for one in planted.values():
        for form_of in (one, repr(one)[1:-1], repr(one.encode())[2:-1], quote(one, safe="")):
            assert form_of not in written
            assert json.dumps(form_of)[1:-1] not in written
    assert f"nats://{HIDDEN}@host" in written
    lines = written.splitlines()
    assert "not written" not in written
    assert "RuntimeError" in written
    if form == "json":
        found = [json.loads(line) for line in lines]
        assert len(shown) + 2 == len(found)
        assert {"stream", "node"} == {one["component"] for one in found}
        assert {"debug", "error", "info"} == {one["level"] for one in found}


@given(st.text(min_size=6, max_size=30), st.text(max_size=20), st.text(max_size=20))
def test_a_secret_is_hidden_wherever_it_stands_and_however_it_is_written(secret, before, behind):
    assume("*" not in secret)  # which stands where one was hidden
    redaction = Redaction([secret])
    for form in (secret, repr(secret)[1:-1], repr(secret.encode())[2:-1], quote(secret, safe="")):
        for written in (form, json.dumps(form)[1:-1]):
            assert written not in redaction(f"{before}{written}{behind}")


def test_all_secrets_of_settings_are_known():
    settings = Settings(
        nats={"user": "u", "password": SECRETS["nats.password"]},
        http={"access": {"mode": "header", "secret": SECRETS["http.access.secret"]}},
    )
    assert {*SECRETS.values()} == {*secrets_in(settings)}
    assert ["the-token"] == [*secrets_in(Settings(nats={"token": "the-token"}))]


def test_each_line_about_an_event_says_which_and_the_levels_change_while_the_node_runs(
    tmp_path, nats_server, stream_name
):
    trace = "0af7651916cd43dd8448eb211c80319c"

    def event(view_id, amount, **more):
        return json.dumps(json.loads(counted(view_id, amount)) | more).encode()

    deploy(tmp_path, stream=stream_name)
    traced = {"correlation_id": "c1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    first = fill(nats_server.url, stream_name, [counted("x"), event("bad", -1, **traced), counted("x")])
    with started("run", "--url", nats_server.url, "--stream", stream_name, folder=tmp_path) as node:
        eventually(lambda: scanned(tmp_path / "data", "counter") == first, node)

        def lines():
            found = (line for line in (tmp_path / "stderr.txt").read_text().splitlines() if line.startswith("{"))
            return [one for line in found if (one := json.loads(line))["component"] == "fold"]

        about = {"tenant": "a", "correlation_id": "c1", "trace_id": trace, "view_type": "counter", "build": 1}
        (parked,) = lines()
        assert {"event": "an event is parked", "level": "warning", "sequence": first - 1, "view": "bad", **about} == {
            name: parked[name] for name in ("event", "level", "sequence", "view", *about)
        }
        refused(projection("log-level", "info,fould=debug", folder=tmp_path), 2, "did you mean 'fold'?")
        told = projection("log-level", "warning,fold=debug", "--reason", "where is it?", folder=tmp_path)
        assert (0, "the log level is warning,fold=debug; it was info\n") == (
            told.returncode, told.stdout,
        )  # fmt: skip
        second = fill(nats_server.url, stream_name, [counted("x"), event("y", 1, **traced)])
        eventually(lambda: len(lines()) == 3, node)
        handled = lines()[1:]
        assert [{"event": "an event was handled", "level": "debug", "sequence": second - 1 + n} for n in range(2)] == [
            {name: one[name] for name in ("event", "level", "sequence")} for one in handled
        ]
        assert [{**about, "correlation_id": None, "trace_id": None}, about] == [
            {name: one[name] for name in about} for one in handled
        ]
        text = (tmp_path / "stderr.txt").read_text()
        assert '"the levels of the log were changed"' in text
        asked = text.count('"request"')
        assert 0 == projection("log-level", "error", folder=tmp_path).returncode
        third = fill(nats_server.url, stream_name, [counted("z"), counted("bad", -1)])
        eventually(lambda: scanned(tmp_path / "data", "counter") == third, node)
        assert (3, asked) == (len(lines()), (tmp_path / "stderr.txt").read_text().count('"request"'))
        node.send_signal(signal.SIGTERM)
        assert 0 == node.wait()
    refused(projection("log-level", "debug", folder=tmp_path), 2, "no node runs on data, so there is no log to change")
