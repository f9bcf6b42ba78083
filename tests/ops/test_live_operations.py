"""Operators' orders while a node runs: decisions, adoptions, pauses and rebuilds, with the views readable all the while."""

from __future__ import annotations

from ops_support import fine, served

from projection.model.ids import ViewType

FINES = ViewType("fines")
BY = {"view_type": "fines", "by": "alice", "reason": "as the ticket says"}


async def test_a_parked_event_is_dropped_while_the_node_runs(nats_server, stream_name, tmp_path) -> None:
    events = [fine("a", 1), fine("a", -1), fine("a", 2), fine("b", 3)]
    async with served(nats_server.url, stream_name, tmp_path, events) as one:
        await one.until(4)
        assert 1 == (await one.get("/v1/views/fines/a")).json()["view"]["n"]
        answer = await one.post("/v1/operations/drop", {**BY, "sequence": 2, "tenant_id": "t", "view_id": "a"})
        assert (200, 1, []) == (answer.status_code, answer.json()["taken"], answer.json()["waiting"]), answer.text
        found = (await one.get("/v1/views/fines/a")).json()
        assert (2, False) == (found["view"]["n"], found["degraded"])
        await one.publish([fine("a", 5)])
        assert 5 == (await one.get("/v1/views/fines/a")).json()["view"]["n"], "the lane goes on"
        (record,) = one.site.catalog.audit()
        assert ("drop", "alice", "http") == (record.operation, record.author.name, record.author.door)
