"""An account whose JetStream has a tier of three copies only: it takes no consumer of one copy, by a real cluster."""

from __future__ import annotations

import asyncio

from account_jwts import account_of_tiers
from cluster import SIZE, Cluster, called, form
from command_support import counted, deploy, eventually, fill, line, projection, scanned, started

from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream


def test_a_node_of_an_account_with_a_tier_of_three_copies_says_what_to_set_and_then_reads(tmp_path, stream_name):
    credentials = tmp_path / "node.creds"
    deploy(tmp_path, stream=stream_name)
    accounts = account_of_tiers(credentials, f"R{SIZE}")
    with Cluster(tmp_path / "cluster", credentials=credentials, **accounts) as cluster:
        form(cluster)

        async def made() -> dict:
            async with await Nats.connect(cluster.connection()) as nats:
                config = {"name": stream_name, "subjects": [f"{stream_name}.>"], "num_replicas": SIZE}
                return await called(JetStream(nats), f"STREAM.CREATE.{stream_name}", **config)

        assert "error" not in asyncio.run(made())
        last = fill(cluster.connection(), stream_name, [counted("x") for _ in range(200)])
        at = ("run", "--url", cluster.url, "--stream", stream_name)
        signing_in = {"PROJECTION_NATS__CREDENTIALS_FILE": str(credentials)}
        log = tmp_path / "stderr.txt"
        with started(*at, folder=tmp_path, **signing_in) as node:
            eventually(lambda: "set nats.consumer_replicas to" in log.read_text(), node)
        assert 0 == scanned(tmp_path / "data", "counter")
        copies = {"PROJECTION_NATS__CONSUMER_REPLICAS": str(SIZE)}
        with started(*at, folder=tmp_path, **signing_in, **copies) as node:
            eventually(lambda: scanned(tmp_path / "data", "counter") == last, node)
    assert line("x", 200) == projection("show", "counter", "x", "--tenant", "a", folder=tmp_path).stdout
