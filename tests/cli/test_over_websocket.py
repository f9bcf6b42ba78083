"""The commands with a server that is reached over WebSocket, with TLS of an authority of one's own."""

from __future__ import annotations

import json

from certificates import Authority
from command_support import counted, deploy, line, projection, write_events
from configured_server import ConfiguredServer


def test_events_are_loaded_and_folded_over_websocket_with_an_authority_of_ones_own(tmp_path, stream_name):
    ca = Authority("ours").write(tmp_path, "server")
    tls = {name: ca[name] for name in ("cert_file", "key_file")}
    deploy(tmp_path)
    events = write_events(tmp_path / "events.jsonl", [counted("x") for _ in range(300)])
    with ConfiguredServer(tmp_path / "nats", websocket={"host": "127.0.0.1", "port": -1, "tls": tls}) as server:
        at = ("--url", server.websocket_url, "--stream", stream_name)
        trusting = {"PROJECTION_NATS__TLS_CA_FILE": ca["ca_file"]}
        loaded = projection("load", events, "--create", *at, folder=tmp_path, **trusting)
        assert 0 == loaded.returncode, loaded.stderr
        ran = projection("run", "--until-caught-up", *at, folder=tmp_path, **trusting)
        assert 0 == ran.returncode, ran.stderr
        assert 300 == json.loads(ran.stdout)["events"]
        assert line("x", 300) == projection("show", "counter", "x", "--tenant", "a", folder=tmp_path).stdout
        distrusting = projection("run", "--until-caught-up", *at, folder=tmp_path)
        assert "its certificate is refused" in distrusting.stderr
        assert 0 != distrusting.returncode
