"""No answer to one tenant ever holds another's view: hostile tenants, every endpoint, every access mode, a real node.

Invariant 9. What one tenant was given, cursors, ETags, ids of changes, is of no use to another.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import islice, permutations
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from isolation_site import (
    ALSO_HOSTILE,
    MODES,
    PARKED,
    SAME,
    SECRET,
    VIEW,
    can_be_named,
    credentials,
    degraded_of,
    marker_of,
    site,
    told,
    views_of,
)
from patience import WITHIN_S

from projection.client import Client, CursorInvalidError, QueryInvalidError, ViewMissingError
from projection.testing.hostile_ids import TRAPS, tenant_ids

HOSTILE = tuple(
    dict.fromkeys(
        (
            *("", *(one for one in TRAPS if one != " ")),  # which no event makes a tenant
            *("a_b", "a.>", "a/b", "../a", "e\u0301", VIEW, "index:1", "change:a"),
            *("t" * 199, "t" * 200, "é" * 100),
            "a b",
        )
    )
)
MARKER = re.compile(r"m[0-9a-f]{16}")
EXPECTED_IDS = sorted({*ALSO_HOSTILE, PARKED, SAME})


@pytest.fixture(scope="module")
def hostile(nats_server, tmp_path_factory):
    with site(nats_server.url, tmp_path_factory.mktemp("isolation")) as built:
        built.populate(HOSTILE)
        yield built


def holds_none_of_others(answer: str, tenant: str) -> None:
    """Every marker in an answer is the tenant's own."""
    assert set(MARKER.findall(answer)) <= {marker_of(tenant)}, f"to {tenant!r}: {answer:.2000}"


def own(site, mode, tenant, path, **asked):
    """The JSON of an answer that must hold the tenant's own views only."""
    response = site.ask(mode, tenant, path, **asked)
    holds_none_of_others(response.text + str(response.headers), tenant)
    assert 200 == response.status_code, response.text
    return response.json()


def check_reads(site, mode, tenant, other) -> None:
    """Each way to views and to what is said of them."""
    fresh = {"min_sequence": str(site.last), "wait_ms": "20000"}
    expected = views_of(tenant)
    for view_id, view in expected.items():
        answer = own(
            site, mode, tenant, f"/v1/views/{VIEW}/{quote(view_id, safe='').replace('.', '%2E')}", params=fresh
        )
        assert (view_id, view, view_id in degraded_of(tenant)) == (answer["id"], answer["view"], answer["degraded"])
    made = own(site, mode, tenant, f"/v1/history/{VIEW}", params={"id": SAME})  # an id that the others have as well
    assert (expected[SAME], ["made"]) == (made["view"], [event["outcome"] for event in made["events"]])
    mine = [{"id": view_id, "view": expected[view_id]} for view_id in EXPECTED_IDS]
    marker = marker_of(other)
    filters = {
        f'marker == "{marker}"': 0,
        f'inner.marker == "{marker}" or n >= 0': len(mine),
        f'"{marker}" in tags': 0,
        'id >= ""': len(mine),
    }
    for filter_, count in filters.items():
        answer = own(site, mode, tenant, "/v1/query", body={"view": VIEW, "filter": filter_, "count": True})
        assert (count, mine if count else []) == (answer["count"], answer["views"])
    structured = {"field": "tags", "op": "contains", "value": "all"}
    for sort in ([], ["n"], ["-n"], ["marker", "-n"], ["-$id"]):
        answer = own(
            site, mode, tenant, "/v1/query", body={"view": VIEW, "filter": structured, "sort": sort, "count": True}
        )
        assert (len(mine), EXPECTED_IDS) == (answer["count"], sorted(one["id"] for one in answer["views"]))
        assert degraded_of(tenant) == answer["degraded"]
        explained = own(
            site, mode, tenant, "/v1/query/explain", body={"view": VIEW, "filter": structured, "sort": sort}
        )
        assert explained["examined"] <= len(mine) + 1, "it looked at more than the tenant has"
    listed = own(site, mode, tenant, f"/v1/views/{VIEW}", params={"marker": marker})
    assert [] == listed["views"]
    ids = [*ALSO_HOSTILE[:2], f"{other}:{VIEW}:a", f"../{other}/a", f"%3A{other}%3A{VIEW}%3Aa"]
    several = site.ask(mode, tenant, f"/v1/views/{VIEW}?" + "&".join("id=" + quote(one, safe="") for one in ids))
    holds_none_of_others(several.text, tenant)
    assert sorted(ALSO_HOSTILE[:2]) == sorted(one["id"] for one in several.json()["views"])


def check_reaching_over(site, mode, tenant, other) -> None:
    """Ways in which a tenant may try to be another."""
    for path in (
        f"/v1/views/{VIEW}/{quote(other, safe='')}%3A{VIEW}%3Aa",
        f"/v1/views/{VIEW}/..%2F{quote(other, safe='')}%2Fa",
        f"/v1/views/{VIEW}/../{VIEW}/a",
        f"/v1/views/{quote(other, safe='')}%3A{VIEW}/a",
        f"/v1/views/{VIEW}%3Aa",
        f"/v1/views/{VIEW}/a%00",
        f"/v1/history/{VIEW}?id={quote(other, safe='')}%3A{VIEW}%3Aa",
        f"/v1/history/{VIEW}?id={SAME}&tenant_id={quote(other, safe='')}",
        "/v1/catalog",
        "/v1/access",
        "/v1/status",
        "/health",
        "/ready",
        "/metrics",
        "/openapi.json",
        f"/v1/views/{VIEW}?tenant={quote(other, safe='')}",
        f"/v1/views/{VIEW}?tenant_id={quote(other, safe='')}&x-tenant-id={quote(other, safe='')}",
    ):
        response = site.ask(mode, tenant, path)
        assert response.status_code < 500 or path == "/ready"  # a machine that is busy lags behind its log
        holds_none_of_others(response.text + str(response.headers), tenant)
    for more in ({"tenant": other}, {"tenant_id": other}):
        response = site.ask(mode, tenant, "/v1/query", body={"view": VIEW, **more})
        assert 400 == response.status_code, "the tenant is never a part of the query"
    failing = site.ask(mode, tenant, "/v1/query", body={"view": VIEW, "filter": "n * 9000000000000000000 >= 0"})
    assert "query.filter_failed" == failing.json()["code"]
    holds_none_of_others(failing.text, tenant)
    twice = site.ask(mode, tenant, f"/v1/views/{VIEW}/a", headers={"x-tenant-id": "ab"})
    holds_none_of_others(twice.text, tenant)


def check_what_is_given_out(site, mode, tenant, other) -> None:
    """Cursors, ETags and ids of changes of one are useless to the other."""
    query = {"view": VIEW, "filter": "n >= 0", "sort": ["-n"], "limit": 2}
    cursor = own(site, mode, tenant, "/v1/query", body=query)["next"]
    own(site, mode, tenant, "/v1/query", body={**query, "cursor": cursor})
    refused = site.ask(mode, other, "/v1/query", body={**query, "cursor": cursor})
    assert (400, "query.cursor_invalid") == (refused.status_code, refused.json()["code"])

    path = f"/v1/views/{VIEW}/{SAME}"  # the very same bytes for both
    mine, others = site.ask(mode, tenant, path), site.ask(mode, other, path)
    assert mine.json()["view"] == others.json()["view"]
    assert mine.headers["etag"] != others.headers["etag"]
    assert 304 == site.ask(mode, tenant, path, headers={"if-none-match": mine.headers["etag"]}).status_code
    assert 200 == site.ask(mode, other, path, headers={"if-none-match": mine.headers["etag"]}).status_code

    feed = site.feed(mode, tenant, snapshot="true")
    holds_none_of_others(feed, tenant)
    events = told(feed)
    changed = [json.loads(one["data"])["id"] for one in events if one.get("event") == "changed"]
    assert EXPECTED_IDS == sorted(changed)
    last = [one["id"] for one in events if "id" in one][-1]
    assert "event: level" in site.feed(mode, tenant, last_event_id=last)
    refused = site.feed(mode, other, last_event_id=last)
    assert "query.cursor_invalid" in refused
    holds_none_of_others(refused, other)


def check(site, mode, tenant, other) -> None:
    check_reads(site, mode, tenant, other)
    check_reaching_over(site, mode, tenant, other)
    check_what_is_given_out(site, mode, tenant, other)


EACH_IN_A_MODE = [
    next((mode, one) for mode in (*MODES[place % 3 :], *MODES) if can_be_named(mode, one))
    for place, one in enumerate(HOSTILE)
]
EACH_IN_THE_OTHERS = [
    (mode, one) for mode in MODES for one in HOSTILE if can_be_named(mode, one) and (mode, one) not in EACH_IN_A_MODE
]


@pytest.mark.parametrize(("mode", "tenant"), EACH_IN_A_MODE, ids=ascii)
def test_no_answer_to_one_tenant_holds_anything_of_another(hostile, mode, tenant):
    among_hostile_tenants(hostile, mode, tenant)


@pytest.mark.long
@pytest.mark.parametrize(("mode", "tenant"), EACH_IN_THE_OTHERS, ids=ascii)
def test_no_answer_to_one_tenant_holds_anything_of_another_in_the_other_modes(hostile, mode, tenant):
    among_hostile_tenants(hostile, mode, tenant)


def among_hostile_tenants(hostile, mode, tenant) -> None:
    place = HOSTILE.index(tenant)
    other = next(one for one in (*HOSTILE[place + 1 :], *HOSTILE) if one != tenant and can_be_named(mode, one))
    check(hostile, mode, tenant, other)


def tenants():
    return st.lists(tenant_ids().map(str), min_size=2, max_size=3, unique=True)


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mode=st.sampled_from(MODES), who=tenants())
def test_tenants_made_at_random_see_their_own_views_only(hostile, mode, who):
    among_random_tenants(hostile, mode, who)


@pytest.mark.long
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mode=st.sampled_from(MODES), who=tenants())
def test_many_tenants_made_at_random_see_their_own_views_only(hostile, mode, who):
    among_random_tenants(hostile, mode, who)
    print(f"{len(hostile.known)} tenants, the last of them in mode {mode}: {who}")


def among_random_tenants(hostile, mode, who) -> None:
    named = [tenant for tenant in who if can_be_named(mode, tenant)]
    hostile.populate(who)
    for tenant, other in permutations(named, 2):
        check(hostile, mode, tenant, other)


def client_of(site, mode, tenant) -> Client:
    if mode == "jwt":
        return Client(
            site.urls[mode],
            token=dict(credentials(mode, tenant))[b"authorization"].decode().removeprefix("Bearer "),
            timeout_s=WITHIN_S,
        )
    return Client(site.urls[mode], tenant=tenant, secret=SECRET if mode == "header" else None, timeout_s=WITHIN_S)


@pytest.mark.parametrize(
    ("mode", "tenant"), [("none", "a"), ("header", "ab"), ("jwt", "a:b"), ("none", "*"), ("jwt", "t" * 200)], ids=ascii
)
def test_the_client_gets_its_own_tenants_views_only(hostile, mode, tenant):
    other, marker = "a%3Ab", marker_of("a%3Ab")
    expected = views_of(tenant)
    with client_of(hostile, mode, tenant) as mine, client_of(hostile, mode, other) as others:
        for view_id, view in expected.items():
            assert view == mine.view(VIEW, view_id, min_sequence=hostile.last, wait_ms=20_000).view
        assert EXPECTED_IDS == [found.id for found in mine.iterate(VIEW, limit=3)]
        assert all(expected[found.id] == found.view for found in mine.iterate(VIEW, sort=["-n"], limit=3))
        assert ["a", "é"] == [found.id for found in mine.views(VIEW, ["a", "é", f"{other}:{VIEW}:a"]).views]
        assert [] == mine.query(VIEW, filter=f'marker == "{marker}"').views
        with pytest.raises(ViewMissingError):
            mine.view(VIEW, f"{other}:{VIEW}:a")
        cursor = mine.query(VIEW, limit=1).next
        with pytest.raises(CursorInvalidError):
            others.query(VIEW, limit=1, cursor=cursor)
        changes = list(islice(mine.changes(VIEW, snapshot=True), len(EXPECTED_IDS)))
        assert expected == {change.id: change.view for change in changes if change.kind == "changed"}
        with pytest.raises((CursorInvalidError, QueryInvalidError)):
            next(others.changes(VIEW, last_event_id=changes[-1].event_id))


@pytest.mark.parametrize("tenant", ["a", "a:b", ""], ids=ascii)
def test_the_command_line_prints_its_own_tenants_views_only(hostile, tenant, tmp_path):
    (tmp_path / "secret").write_text(SECRET)
    places = {
        "none": ("--storage", str(hostile.data["none"])),
        "header": ("--url", hostile.urls["header"], "--secret-file", str(tmp_path / "secret")),
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROJECTION_")}
    for place in places.values():
        command = (
            sys.executable,
            "-m",
            "projection",
            "query",
            VIEW,
            "--tenant",
            tenant,
            "--all",
            "--format",
            "json",
            *place,
        )
        ran = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=tmp_path)
        found = map(json.loads, ran.stdout.splitlines())
        assert views_of(tenant) == {one["id"]: one["view"] for one in found}
        assert bool(degraded_of(tenant)) == (f"events are parked for '{PARKED}'" in ran.stderr)
