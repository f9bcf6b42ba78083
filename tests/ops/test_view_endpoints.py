"""The endpoints that answer with views: one by its id, many by conditions, by queries; and what is said of them."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import quote

import pytest
from ops_support import SOME_IDS, fine
from patience import WITHIN_MS


def ids(answer):
    assert 200 == answer.status_code, answer.text
    return [one["id"] for one in answer.json()["views"]]


def code(answer):
    return answer.status_code, answer.json()["code"]


# one view


async def test_a_view_is_found_by_its_id_whatever_that_is_made_of(one):
    for n, view_id in enumerate(SOME_IDS):
        answer = await one.get("/v1/views/fines/" + quote(view_id, safe="").replace(".", "%2E"))
        assert (200, view_id, n) == (answer.status_code, answer.json()["id"], answer.json()["view"]["n"])


async def test_a_slash_may_stand_as_it_is_and_an_escape_is_undone_once(one):
    found = [(await one.get(f"/v1/views/fines/{written}")).json()["id"] for written in ("a/b", "a%2Fb", "a%252Fb", "/")]
    assert ["a/b", "a/b", "a%2Fb", "/"] == found


async def test_an_answer_says_what_it_was_read_from(one):
    answer = (await one.get("/v1/views/fines/a")).json()
    assert {"id", "view", "degraded", "incomplete", "build", "program", "scanned", "as_of", "lag_s"} == answer.keys()
    assert (1, len(SOME_IDS), False) == (answer["build"], answer["scanned"], answer["degraded"])


async def test_decimals_come_as_they_are_stored(one):
    assert '"balance":1.50' in (await one.get("/v1/views/fines/a%2Fb")).text


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/v1/views/fines/nobody", (404, "query.view_missing")),
        ("/v1/views/nothing/a", (404, "query.unknown_view_type")),
        ("/v1/views/No%20Type/a", (404, "query.unknown_view_type")),
        ("/v1/views/fines/", (404, "http.not_found")),
        ("/v1/views/fines/%FF", (400, "http.invalid")),
        ("/v1/views/fines/a?min_sequnce=3", (400, "http.invalid")),
        ("/v1/views/fines/a?min_sequence=x", (400, "http.invalid")),
        ("/v1/views/fines/a?min_sequence=1&min_sequence=2", (400, "http.invalid")),
        ("/v1/views/fines/a?max_lag_s=-1", (400, "http.invalid")),
        ("/v1/views/fines/a?max_lag_s=nan", (400, "http.invalid")),
        ("/v1/views/fines/a?min_sequence=999&wait_ms=999999999", (422, "query.limit")),
        ("/v1/views/fines/a?min_sequence=999", (412, "query.not_fresh")),
        ("/v1/views/fines/a?min_sequence=999&wait_ms=30", (412, "query.not_fresh")),
        ("/v1/views/fines/" + "x" * 600, (404, "query.view_missing")),
    ],
)
async def test_what_is_not_answered_has_its_code_and_the_document_says_so(one, target, expected):
    assert expected == code(await one.get(target))
    (view,) = (path for name, path in (await one.get("/openapi.json")).json()["paths"].items() if "{view_id" in name)
    assert str(expected[0]) in view["get"]["responses"]


async def test_who_has_published_reads_what_came_of_it(one):
    reading = asyncio.create_task(one.get(f"/v1/views/fines/new?min_sequence=14&wait_ms={WITHIN_MS}"))
    await one.publish([fine("new", 5)])
    assert (200, 5) == ((await reading).status_code, (await reading).json()["view"]["n"])


async def test_a_view_that_waits_behind_a_parked_event_is_degraded(one):
    await one.publish([fine("a", -1)])
    assert (await one.get("/v1/views/fines/a")).json()["degraded"]
    assert ["a"] == (await one.get("/v1/views/fines?id=a&id=a/b")).json()["degraded"]


async def test_a_view_whose_first_event_is_parked_is_told_wherever_it_is_asked_for(one):
    await one.publish([fine("first", -1)])
    missing = (await one.get("/v1/views/fines/first")).json()
    assert ("query.view_missing", True) == (missing["code"], "events of it are parked" in json.dumps(missing))
    found = (await one.get("/v1/views/fines?id=first&id=a")).json()
    assert (["first"], ["a"]) == (found["degraded"], [view["id"] for view in found["views"]])


async def test_answers_say_that_an_event_of_the_tenant_has_reached_no_view(one):
    before = await one.get("/v1/views/fines/a")
    await one.publish([fine(7, 1)])
    for target in ("/v1/views/fines/a", "/v1/views/fines", "/v1/views/fines?id=a"):
        assert (await one.get(target)).json()["incomplete"]
    assert not before.json()["incomplete"]
    assert before.headers["etag"] != (await one.get("/v1/views/fines/a")).headers["etag"]
    assert "reached no view" in json.dumps((await one.get("/v1/views/fines/nobody")).json())


# ETags


async def test_an_unchanged_view_is_not_sent_again(one):
    tag = (await one.get("/v1/views/fines/a")).headers["etag"]
    assert tag.startswith('W/"')
    for shown in (tag, tag.removeprefix("W/"), f'"x", {tag}', "*"):
        again = await one.get("/v1/views/fines/a", if_none_match=shown)
        assert (304, b"", tag) == (again.status_code, again.content, again.headers["etag"])


async def test_a_changed_view_has_another_tag(one):
    tag = (await one.get("/v1/views/fines/a")).headers["etag"]
    await one.publish([fine("a", 7)])
    again = await one.get("/v1/views/fines/a", if_none_match=tag)
    assert (200, 7) == (again.status_code, again.json()["view"]["n"])


async def test_equal_views_of_two_tenants_or_ids_have_different_tags(one):
    await one.publish([fine("same", 3, "t"), fine("same", 3, "u"), fine("other", 3, "t")])
    answers = [
        await one.get(f"/v1/views/fines/{name}", tenant)
        for name, tenant in (("same", "t"), ("same", "u"), ("other", "t"))
    ]
    assert 1 == len({json.dumps(answer.json()["view"]) for answer in answers})
    assert 3 == len({answer.headers["etag"] for answer in answers})


# many views


@pytest.mark.parametrize(
    ("parameters", "numbers"),
    [
        ("status=paid&limit=99", {1, 3, 5, 7, 9, 11}),
        ("status=paid&n[gt]=4&limit=99", {5, 7, 9, 11}),
        ("balance[ge]=10.50", {10, 11, 12}),
        ("balance=10.5", {10}),
        ("on=false", {0, 1, 2, 3}),
        ("n[in]=1&n[in]=2", {1, 2}),
        ("$id=a", {0}),
        ("$id[starts_with]=a%25", {2, 3}),
        ("by[exists]=false&n[lt]=2", {0, 1}),
        ("filter=n%20%3E%2011", {12}),
        ('filter={"field":"n","op":"eq","value":3}', {3}),
        ("id=a&id=a/b&id=nobody", {0, 1}),
        ("id=a&id=a/b&n=1", {1}),
        ("n=1&n=2", set()),
    ],
)
async def test_conditions_stand_in_the_address(one, parameters, numbers):
    answer = await one.get("/v1/views/fines?" + parameters)
    assert 200 == answer.status_code, answer.text
    assert numbers == {found["view"]["n"] for found in answer.json()["views"]}


async def test_a_page_is_sorted_cut_counted_and_goes_on(one):
    first = await one.get("/v1/views/fines?sort=-n&limit=5&count=true&select=n")
    page = first.json()
    assert ([{"n": n} for n in (12, 11, 10, 9, 8)], 13) == ([found["view"] for found in page["views"]], page["count"])
    second = await one.get(f"/v1/views/fines?sort=-n&limit=5&select=n&cursor={page['next']}")
    assert [7, 6, 5, 4, 3] == [found["view"]["n"] for found in second.json()["views"]]


async def test_as_many_as_are_asked_for_by_id_come_on_one_page(one):
    await one.publish([fine(f"many{n}", n) for n in range(120)])
    answer = await one.get("/v1/views/fines?" + "&".join(f"id=many{n}" for n in range(120)))
    assert (120, None) == (len(answer.json()["views"]), answer.json()["next"])


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("nowhere=1", (400, "query.invalid")),
        ("n[above]=1", (400, "http.invalid")),
        ("[gt]=1", (400, "http.invalid")),
        ("n..x=1", (400, "http.invalid")),
        ("n=one", (400, "query.invalid")),
        ("status=lost", (400, "query.invalid")),
        ("limit=0", (400, "query.invalid")),
        ("limit=1&limit=2", (400, "http.invalid")),
        ("limit=100000", (422, "query.limit")),
        ("count=yes", (400, "http.invalid")),
        ("cursor=AAAA", (400, "query.cursor_invalid")),
        ("filter=n%3E1&n=2", (400, "http.invalid")),
        ("filter=n%20%3E", (400, "query.invalid")),
        ("filter={", (400, "query.invalid")),
        ("sort=tags", (400, "query.invalid")),
        ("wait_ms=99999999&min_sequence=1", (422, "query.limit")),
        ("%FF=1", (400, "http.invalid")),
        ("&".join(["n=1"] * 2001), (400, "http.invalid")),
    ],
)
async def test_conditions_that_mean_nothing_are_refused(one, parameters, expected):
    assert expected == code(await one.get("/v1/views/fines?" + parameters))


# queries


async def test_a_query_is_answered(one):
    answer = await one.post("/v1/query", {"view": "fines", "filter": "n > 9", "sort": ["-n"], "select": ["n"]})
    assert [12, 11, 10] == [found["view"]["n"] for found in answer.json()["views"]]


async def test_numbers_of_a_query_are_exact(one):
    body = b'{"view":"fines","filter":{"field":"balance","op":"eq","value":10.5000000000000000000000001}}'
    assert [] == ids(await one.post("/v1/query", body))


async def test_an_explanation_names_the_index(one):
    body = {"view": "fines", "filter": {"field": "status", "op": "eq", "value": "paid"}}
    answer = (await one.post("/v1/query/explain", body)).json()
    assert ("status, balance desc", 6) == (answer["index"], answer["returned"])


@pytest.mark.parametrize(
    ("body", "expected", "pointer"),
    [
        ({}, (400, "query.invalid"), ""),
        ([], (400, "query.invalid"), ""),
        (b"{", (400, "query.invalid"), ""),
        (b"\xff", (400, "query.invalid"), ""),
        (b"[" * 50_000, (400, "query.invalid"), ""),
        (b"[" * 100_000, (422, "query.limit"), ""),
        ({"view": "fines", "filtr": "n > 1"}, (400, "query.invalid"), "/filtr"),
        ({"view": "fines", "filter": {"field": "m", "op": "eq", "value": 1}}, (400, "query.invalid"), "/filter/field"),
        ({"view": "nothing"}, (404, "query.unknown_view_type"), None),
        ({"view": "fines", "limit": 5000}, (422, "query.limit"), "/limit"),
    ],
)
async def test_a_query_that_cannot_be_understood_is_told_where(one, body, expected, pointer):
    for target in ("/v1/query", "/v1/query/explain"):
        answer = await one.post(target, body)
        assert (expected, pointer) == (code(answer), answer.json().get("pointer"))


async def test_a_limit_is_named_with_its_value(one):
    told = (await one.post("/v1/query", {"view": "fines", "limit": 5000})).json()
    assert ("max_limit", 1000) == (told["limit"], told["value"])
    assert told["hint"]


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_that_is_not_called_json_is_refused(one, media_type):
    """A page of another site may have a browser send anything else without asking us."""
    answer = await one.send("POST", "/v1/query", headers={"content-type": media_type}, content=b'{"view":"fines"}')
    assert (415, "http.media_type") == code(answer)


# tenants


async def test_the_tenant_is_that_of_the_credentials_and_nobody_elses(one):
    await one.publish([fine("a", 9, "u")])
    assert [9, 0] == [(await one.get("/v1/views/fines/a", tenant)).json()["view"]["n"] for tenant in ("u", "t")]
    assert (404, "query.view_missing") == code(await one.get("/v1/views/fines/a", None))
    assert ["a"] == ids(await one.get("/v1/views/fines", "u"))
    cursor = (await one.get("/v1/views/fines?limit=2")).json()["next"]
    assert (400, "query.cursor_invalid") == code(await one.get(f"/v1/views/fines?limit=2&cursor={cursor}", "u"))


# what there is


async def test_the_catalog_tells_schemas_and_indexes(one):
    (entry,) = (await one.get("/v1/catalog")).json()["views"]
    assert ("fines", [{"by": "status, balance desc", "built": True}], [1]) == (
        entry["view"],
        entry["indexes"],
        entry["builds"],
    )
    assert {"status", "balance", "n", "on", "tags", "by"} == entry["json_schema"]["properties"].keys()
