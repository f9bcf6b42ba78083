"""The OpenAPI document and the server agree: whatever a client makes of the document, no answer is beside it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import httpx
import pytest
import schemathesis
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from ops_support import SOME_IDS, fine, served
from patience import WITHIN_S
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi import checks

from projection.engine import live_backups
from projection.engine.outcomes import VerifiedBuild, VerifyCame
from projection.engine.side_work import Said

load_all_checks()
CHECKS = (
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
)
SCHEMAS = "#/components/schemas/"
SECRET = "0123456789abcdef-of-the-gateway"
SPARING = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)
KNOWN = {"x-tenant-id": "t", "x-projection-secret": SECRET, "x-projection-scopes": "operator"}


class Background:
    """A node with its server, in a thread and an event loop of its own: the library asks as any client does."""

    def __init__(self, *arguments, **named):
        self._opened = served(*arguments, **named)
        self._is_up, self._is_over = threading.Event(), None
        self._thread = threading.Thread(target=self._run)
        self.url = ""

    def _run(self):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self):
        self._loop, self._is_over = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with self._opened as one:
                self.url = one.url
                self._is_up.set()
                await self._is_over.wait()
        finally:
            self._is_up.set()

    def __enter__(self):
        self._thread.start()
        assert self._is_up.wait(WITHIN_S)
        assert self.url
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._is_over.set)
        self._thread.join(WITHIN_S)


async def verified_at_once(*_):
    """What a process beside the node would say, without the time that it takes to start."""
    return Said(verified=VerifyCame([VerifiedBuild("fines", 1, [])]))


@pytest.fixture(scope="module")
def node(nats_server, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live_backups, "done_beside", verified_at_once)
        yield from running_node(nats_server, tmp_path_factory)


def running_node(nats_server, tmp_path_factory):
    events = [fine(view_id, n) for n, view_id in enumerate(SOME_IDS)]
    http = {"access": {"mode": "header", "secret": SECRET}, "access_log": False}
    entry = {"changes": True}
    folder = tmp_path_factory.mktemp("asked")
    with Background(nats_server.url, "ASKED", folder, events, http=http, entry=entry) as running:
        yield running


@pytest.fixture(scope="module")
def document(node):
    found = schemathesis.openapi.from_dict(
        unrolled(small(httpx.get(f"{node.url}/openapi.json", timeout=WITHIN_S).json()))
    )
    found.config.update(base_url=node.url)
    return found


def small(document):
    """The document with smaller bounds: to make up a filter of ten thousand parts takes the library minutes."""
    if isinstance(document, list):
        return [small(part) for part in document]
    if not isinstance(document, dict):
        return document
    bounds = {name: most for name, most in (("maxLength", 40), ("maxItems", 3)) if name in document}
    return {name: small(part) for name, part in document.items()} | {
        name: min(most, document[name]) if isinstance(document[name], int) else small(document[name])
        for name, most in bounds.items()
    }


def unrolled(document):
    """The document without schemas that hold themselves: the library follows those until Python's stack is at its end.

    What is left of a filter is three levels deep. Deeper ones are the business of test_hostile_queries.py.
    """
    schemas, seen = document["components"]["schemas"], set()

    def visit(part, above):
        if isinstance(part, list):
            part[:] = [one for one in part if not (isinstance(one, dict) and named(one) in above)]
        for inner in part if isinstance(part, list) else part.values() if isinstance(part, dict) else ():
            visit(inner, above)
        name = named(part) if isinstance(part, dict) else None
        if name is not None and name not in seen:
            seen.add(name)
            visit(schemas[name], {*above, name})

    for name in schemas:
        visit({"$ref": f"{SCHEMAS}{name}"}, set())
    return document


def named(part):
    """The name of the schema that a reference leads to."""
    target = part.get("$ref")
    return target.removeprefix(SCHEMAS) if isinstance(target, str) and target.startswith(SCHEMAS) else None


def hold(document, examples, **headers):
    """Ask, in every way that each operation of the document allows and in some that it does not; hold each answer."""
    for found in document.exclude(path="/v1/changes").get_all_operations():  # no end: test_change_stream.py
        for mode in schemathesis.GenerationMode:

            @settings(SPARING, max_examples=examples)
            @given(case=found.ok().as_strategy(generation_mode=mode))
            def ask(case):
                named = {name.lower() for name in case.headers or {}}
                sent = {name: value for name, value in headers.items() if name not in named}
                case.call_and_validate(headers=sent, checks=CHECKS, timeout=WITHIN_S)

            with suppress(Unsatisfiable):  # what takes nothing cannot be asked wrongly
                ask()


def test_every_answer_is_as_the_document_says(document):
    hold(document, 12, **KNOWN)


def test_every_refusal_of_a_stranger_is_as_the_document_says(document):
    hold(document, 3)


@pytest.mark.long
def test_every_one_of_many_answers_is_as_the_document_says(document):
    hold(document, 400, **KNOWN)


def test_the_document_has_an_example_of_every_answer_and_a_summary_of_every_operation(document):
    lacking = []
    for path, operations in document.raw_schema["paths"].items():
        for method, operation in operations.items():
            lacking += [] if operation.get("summary") else [(path, method)]
            for status, answer in operation["responses"].items():
                for content in answer.get("content", {}).values():
                    if not content.get("example") and not content.get("examples"):
                        lacking.append((path, method, status))
    assert [] == lacking


def test_the_document_is_there_for_everybody(node):
    answer = httpx.get(f"{node.url}/openapi.json", timeout=WITHIN_S)
    assert (200, "3.1.0") == (answer.status_code, answer.json()["openapi"])
