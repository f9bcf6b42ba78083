"""An exception that no code foresaw costs one request its answer, or one stream its rest; everything else goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from change_clients import answering, following
from engine_support import TALLIES, added, deploy
from node_support import Site
from ops_support import eventually, fine
from structlog.testing import capture_logs

from projection.lang.program import Program
from projection.ops.http.access import Access
from projection.ops.metrics import Metrics
from projection.query.change_feed import Stream
from projection.query.cursors import Cursors
from projection.query.execution import Execution
from projection.query.filters import CompiledFilter
from projection.query.running import Context
from projection.query.service import Queries
from projection.query.serving import Served as ServedBuild
from projection.query.serving import Serving
from projection.store.snapshot import LmdbSnapshot
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats

if TYPE_CHECKING:
    import pytest

VIEW, PAGE, FILTERED = "/v1/views/fines/a", "/v1/views/fines?limit=2", "/v1/views/fines?filter=n%20%3E%203%20or%20on"


def break_once(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[str]:
    """What is given back is empty until it has raised."""
    original, raised = getattr(owner, name), list[str]()

    def faulty(*args: Any, **named: Any) -> Any:
        if not raised:
            raised.append(name)
            raise RuntimeError("about the insides")
        return original(*args, **named)

    monkeypatch.setattr(owner, name, faulty)
    return raised


PLACES = [
    (VIEW, Serving, "of"),
    (VIEW, ServedBuild, "__init__"),
    (VIEW, Context, "head"),
    (VIEW, LmdbSnapshot, "is_degraded"),
    (VIEW, Queries, "etag"),
    (VIEW, Access, "reader"),
    (PAGE, Execution, "run"),
    (PAGE, Execution, "_page"),
    (PAGE, Cursors, "make"),
    (FILTERED, ServedBuild, "_prepare"),
    (FILTERED, ServedBuild, "preparing"),
    (FILTERED, CompiledFilter, "matches"),
    ("/v1/catalog", Queries, "catalog"),
    ("/ready", Access, "is_operator"),
    ("/metrics", Metrics, "exposition"),
]


async def test_one_request_is_answered_with_a_problem_and_the_next_one_as_ever(one, monkeypatch):
    for number, (target, owner, name) in enumerate(PLACES, 100):
        place = f"{owner.__name__}.{name}"
        with monkeypatch.context() as faulty, capture_logs() as logged:
            if owner is ServedBuild and name == "__init__":
                one.service.queries.serving.close()  # it is made anew then
            raised = break_once(faulty, owner, name)
            answer = await one.get(target)
            assert raised, place
            problem = answer.json()
            assert (500, "internal") == (answer.status_code, problem["code"]), place
            assert "insides" not in answer.text, place
            (told,) = [line for line in logged if line["event"] == "a fault of projection itself"]
            assert ("answering a request", problem["request_id"]) == (told["doing"], told["request_id"]), place
            assert 200 == (await one.get(target)).status_code, place
        await one.publish([fine("a", number)])
        assert number == (await one.get(VIEW)).json()["view"]["n"], place


async def test_a_view_type_that_a_fault_halted_is_answered_from_and_ready_says_why(one, monkeypatch):
    def breaks(*_: Any) -> None:
        raise RuntimeError("it breaks here")

    monkeypatch.setattr(Program, "apply", breaks)
    last = await one.site.publish([fine("a", 99)])
    await eventually(lambda: one.node.lanes[0].halted)
    answer = await one.get("/ready")
    assert 503 == answer.status_code
    trouble = answer.json()["troubles"]["view type fines"]
    assert trouble.startswith(
        f"halted: a fault of projection itself while folding event {last} for view type fines: "
        "RuntimeError: it breaks here, at projection/engine/lane.py:"
    )
    assert 0 == (await one.get(VIEW)).json()["view"]["n"]


async def test_a_stream_of_changes_that_fails_says_so_and_others_go_on(nats_server, stream_name, tmp_path, monkeypatch):
    async with await Nats.connect(NatsConnection(nats_server.url)) as nats:
        site = await Site(nats, nats_server.url, stream_name, tmp_path).create()
        deployed = deploy(tmp_path / "deployed", TALLIES, template=site.template, changes=True)
        async with answering(site, deployed) as at, following(at.port) as other:
            await other.until("level")
            await at.scanned(await site.publish([added("one")]))
            await other.until("level", scanned=1)
            with monkeypatch.context() as faulty, capture_logs() as logged:
                of_other = Stream._read
                streams = list[Stream]()

                def read(stream: Stream, *args: Any, **named: Any) -> Any:
                    if stream._following.view_type == "tallies" and stream._place.scanned != 1 and not streams:
                        streams.append(stream)
                        raise RuntimeError("about the insides")
                    return of_other(stream, *args, **named)

                faulty.setattr(Stream, "_read", read)
                async with following(at.port, snapshot="true") as stream:
                    (problem,) = [one async for one in stream.told() if one.name]
            assert ("problem", "internal") == (problem.name, problem.data["code"])
            assert "insides" not in str(problem.data)
            (told,) = [line for line in logged if line["event"] == "a fault of projection itself"]
            assert ("sending changes", problem.data["request_id"]) == (told["doing"], told["request_id"])
            last = await site.publish([added("one")])
            await other.until("level", scanned=last)
            await eventually(lambda: 1 == at.service.changes.streams)
