"""`projection show`: views out of a data folder, whether a node is running or not."""

from __future__ import annotations

import json

import pytest
from command_support import counted, deploy, eventually, fill, line, projection, refused, scanned, started

EVENTS = [
    counted("x"),
    counted("y", 2),
    counted("é:1", 3),
    counted("x", 10, tenant="ab"),
    counted("x", 20, tenant="a:b"),
    counted("x", 30, tenant=""),
    counted("bad", -1),
    counted("bad"),
    counted("bad", -1, tenant="ab"),
]


@pytest.fixture(scope="module")
def shop(nats_server, tmp_path_factory):
    """A folder with what a node left behind."""
    folder = tmp_path_factory.mktemp("shown")
    deploy(folder, stream=folder.name)
    fill(nats_server.url, folder.name, EVENTS)
    ran = projection("run", "--until-caught-up", "--url", nats_server.url, "--stream", folder.name, folder=folder)
    assert 0 == ran.returncode, ran.stderr
    return folder


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("x", "--tenant", "a"), line("x", 1)),
        (("é:1", "--tenant", "a"), line("é:1", 3)),
        (("--tenant", "a"), line("x", 1) + line("y", 2) + line("é:1", 3)),
        (("--tenant", "a", "--limit", "2"), line("x", 1) + line("y", 2)),
        (("--tenant", "ab"), line("x", 10, "ab")),
        (("--tenant", "nobody"), ""),
        ((), line("x", 30, "")),
        (
            ("--all-tenants",),
            line("x", 30, "")
            + line("x", 20, "a:b")
            + line("x", 1)
            + line("y", 2)
            + line("é:1", 3)
            + line("x", 10, "ab"),
        ),
    ],
)
def test_it_prints_the_views_of_one_tenant_or_of_all(shop, arguments, expected):
    ended = projection("show", "counter", *arguments, folder=shop)
    assert (0, "", sorted(expected.splitlines())) == (ended.returncode, ended.stderr, sorted(ended.stdout.splitlines()))


def test_views_come_in_the_order_of_their_keys(shop):
    shown = projection("show", "counter", "--all-tenants", folder=shop).stdout.splitlines()
    tenants = [json.loads(one)["tenant_id"] for one in shown]
    assert ["", "a%3Ab", "a", "a", "a", "ab"] == [tenant.replace(":", "%3A") for tenant in sorted(tenants, key=_in_key)]
    assert sorted(tenants, key=_in_key) == tenants


def _in_key(tenant: str) -> str:
    return tenant.replace(":", "%3A") + ":"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("sales",), 2, ("has no view type 'sales'", "it has: counter")),
        (("Sales!",), 2, ("view type 'Sales!'",)),
        (("counter", "nothing", "--tenant", "a"), 1, ("tenant 'a' has no counter with the id 'nothing'", "hint: ")),
        (("counter", "y", "--tenant", "ab"), 1, ("tenant 'ab' has no counter with the id 'y'", "hint: ")),
        (("counter", "y"), 1, ("tenant '' has no counter with the id 'y'", "hint: ")),
        (("counter", "", "--tenant", "a"), 2, ("view id '' is empty",)),
        (("counter", "k" * 600, "--tenant", "a"), 1, ("tenant 'a' has no counter with the id 'kkk",)),
        (("counter", "\udcff", "--tenant", "a"), 2, ("view id",)),
        (("counter", "--tenant", "t" * 300), 2, ("tenant id",)),
        (("counter", "--tenant", "a", "--all-tenants"), 2, ("--all-tenants goes with neither",)),
        (("counter", "x", "--all-tenants"), 2, ("--all-tenants goes with neither",)),
        (("counter", "--storage", "none"), 2, ("there is no data folder of a node at none", "hint: ")),
        (("counter", "--storage", "counter.proj"), 2, ("there is no data folder of a node at counter.proj",)),
        (("counter", "--config", "none.yaml"), 2, ("none.yaml",)),
    ],
)
def test_what_cannot_be_shown_is_told_in_one_sentence(shop, arguments, status, said):
    refused(projection("show", *arguments, folder=shop), status, *said)


def test_it_reads_while_a_node_writes(tmp_path, nats_server, stream_name):
    deploy(tmp_path, stream=stream_name)
    last = fill(nats_server.url, stream_name, [counted("x")])
    with started("run", "--url", nats_server.url, "--stream", stream_name, folder=tmp_path) as node:
        for total in (1, 2, 3):
            eventually(lambda last=last: scanned(tmp_path / "data", "counter") == last, node)
            assert line("x", total) == projection("show", "counter", "x", "--tenant", "a", folder=tmp_path).stdout
            last = fill(nats_server.url, stream_name, [counted("x")])
