"""The console in headless Chromium: each page with axe and on a phone, and signing in."""

from __future__ import annotations

import time
from urllib.parse import quote
from uuid import uuid4

import jwt
import pytest
import pytest_asyncio
from console_support import (
    BY,
    DESKTOP,
    EVENTS,
    ORDERS,
    PHONE,
    needs_browser,
    serious,
    shop,
    shop_node,
    shot,
    tab,
)
from ops_support import fine, served
from patience import eventually

pytestmark = [needs_browser, pytest.mark.asyncio(loop_scope="module")]
shared = pytest_asyncio.fixture(scope="module", loop_scope="module")
KEY = "a-key-for-tokens-of-32-bytes-or-more"
TOKENS = {"access": {"mode": "jwt", "secret": KEY, "algorithms": ["HS256"]}}
THEMES = {
    "light": ("light", DESKTOP),
    "dark": ("dark", DESKTOP),
    "phone": ("light", PHONE),
    "phone-dark": ("dark", PHONE),
}


@shared
async def shop_seen(nats_server, tmp_path_factory):
    """A node of a shop that tests only look at, with parked events and a build that waits; a parked event, a sound view."""
    folder = tmp_path_factory.mktemp("shop")
    async with shop_node(nats_server, f"S{uuid4().hex[:12]}", folder, shop(1_500, every=30)) as one:
        answer = await one.post("/v1/operations/rebuild", BY | {"view_type": ORDERS, "promote": "manual"})
        assert 200 == answer.status_code
        await eventually(lambda: one.node.health.waiting)
        event = (await one.get(f"/v1/parked/{ORDERS}?limit=1")).json()["events"][0]
        query = {"view": ORDERS, "filter": 'status == "paid"', "sort": ["-pieces"], "limit": 20}
        found = (await one.post("/v1/query", query, tenant=event["tenant_id"])).json()
        yield one, event, next(view["id"] for view in found["views"] if view["id"] not in found["degraded"])


@pytest.fixture
def site(nats_server, stream_name, tmp_path):
    """Opens a node on one stream and one data folder."""
    return lambda events=EVENTS, **more: served(nats_server.url, stream_name, tmp_path, events, **more)


def token(**claims):
    return jwt.encode({"exp": time.time() + 600, **claims}, KEY, "HS256")


# --- each page, as it looks and as it is read aloud -------------------------------------------------------------------


async def too_wide(console):
    """Whether the page itself, and not a table in it, is wider than the window."""
    return await console.page.evaluate("() => document.documentElement.scrollWidth > innerWidth")


def routes(event, sound):
    return {
        "overview": "",
        "view-type": f"type/{ORDERS}",
        "parked": "parked",
        "parked-in-one": f"parked/{ORDERS}",
        "parked-event": f"parked/{ORDERS}/{event['sequence']}?tenant={quote(event['tenant_id'])}&view={event['view_id']}",
        "builds": "builds",
        "builds-of-one": f"builds/{ORDERS}",
        "compare": f"compare/{ORDERS}?old=1&new=2",
        "query": f"query?view={ORDERS}&sort=-total",
        "view": f"view/{ORDERS}/{sound}",
        "view-degraded": f"view/{ORDERS}/{event['view_id']}",
        "log": "log",
        "nowhere": "nowhere",
    }


@pytest.mark.parametrize(
    "theme", ["light", *(pytest.param(one, marks=pytest.mark.long) for one in THEMES if one != "light")]
)
async def test_each_page_can_be_read_by_everybody_and_fits_its_window(shop_seen, browser, theme):
    one, event, sound = shop_seen
    scheme, viewport = THEMES[theme]
    found, wide = {}, []
    async with tab(browser, one, viewport=viewport, scheme=scheme, tenant=event["tenant_id"]) as console:
        for name, route in routes(event, sound).items():
            await console.go(route)
            if name == "compare":
                await console.shows("Both builds hold the same views")
            elif name in ("view", "view-degraded"):
                await console.page.locator(".timeline > li").first.wait_for()
            await eventually(lambda: console.page.evaluate("() => !document.querySelector('main .loading')"))
            await shot(console, f"{name}-{theme}")
            found[name] = await serious(console)
            wide += [name] if await too_wide(console) else []
        await console.go(f"type/{ORDERS}")
        await console.click("Rebuild")
        await shot(console, f"dialog-{theme}")
        found["dialog"] = await serious(console)
    assert {} == {name: all_of_it for name, all_of_it in found.items() if all_of_it}
    assert [] == wide


# --- signing in -------------------------------------------------------------------------------------------------------


async def test_whoever_only_reads_sees_no_page_and_no_action_of_operators(site, browser):
    async with site(http=TOKENS) as one, tab(browser, one) as console:
        await console.go()
        await console.page.get_by_label("Token").fill("no.token")
        await console.click("Sign in")
        await console.shows("token")
        await console.page.locator(".alert.bad").wait_for()
        await console.page.get_by_label("Token").fill(f"Bearer {token(tenant_id='t', scope='read')}")
        await console.click("Sign in")
        await console.shows("fines")
        navigation = await console.text("#navigation")
        assert ["Overview", "Query"] == navigation.split("\n")
        assert "Reader, tenant t" in await console.text("#who")
        for route in ("parked/fines", "builds", "type/fines", "log"):
            await console.go(route)
            await console.shows("This page is for operators")
        await console.go("view/fines/a")
        await console.shows("NEGATIVE: below zero")
        assert 0 == await console.page.get_by_role("button", name="Repair").count()
        await console.page.get_by_role("button", name="Sign out").click()
        await console.page.get_by_label("Token").wait_for()
        assert await console.page.evaluate("() => sessionStorage.getItem('projection.token')") is None


@pytest.mark.long
async def test_an_operator_whose_token_names_no_tenant_is_told_what_needs_one(site, browser):
    held = token(scope="operator")
    async with site(http=TOKENS) as one, tab(browser, one, token=held) as console:
        await console.go("parked/fines")
        await console.shows("NEGATIVE: below zero")
        for route in ("query", "view/fines/a"):
            await console.go(route)
            await shot(console, "no-tenant-" + route[:5].rstrip("/"))
            await console.shows("tenant")


@pytest.mark.long
async def test_a_token_that_ends_leads_back_to_where_one_signs_in(site, browser):
    held = token(tenant_id="t", scope="operator")
    async with site(http=TOKENS) as one, tab(browser, one, token=held) as console:
        await console.go()
        await console.shows("fines")
        await console.page.evaluate("ended => sessionStorage.setItem('projection.token', ended)", token(exp=1))
        await console.page.get_by_label("Token").wait_for()
        assert await console.page.locator("#navigation").is_hidden()


@pytest.mark.long
async def test_behind_a_gateway_it_says_by_which_way_to_come(site, browser):
    http = {"access": {"mode": "header", "secret": "0123456789abcdef-of-the-gateway"}}
    async with site(http=http) as one:
        async with tab(browser, one) as console:
            await console.go()
            await console.shows("Open the console through the gateway")
        context = await browser.new_context(
            extra_http_headers={
                "x-projection-secret": "0123456789abcdef-of-the-gateway",
                "x-tenant-id": "t",
                "x-projection-scopes": "operator",
            }
        )
        page = await context.new_page()
        await page.goto(f"{one.url}/console/")
        await page.get_by_text("fines").first.wait_for()
        await context.close()


@pytest.mark.long
async def test_a_view_type_is_shown_with_what_it_holds_and_uses(fines, browser):
    async with tab(browser, fines, tenant="t") as console:
        await console.go("type/fines")
        await console.shows("Gas by handler")
        (lane,) = (await fines.get("/v1/status/fines")).json()["lanes"]
        await console.shows(lane["digest"])
        text = await console.text()
        for wanted in (
            lane["digest"],
            lane["fold_identity"],
            "status, balance desc",
            "Decoding and routing",
            "fines.proj",
        ):
            assert wanted in text
        (row,) = await console.page.get_by_role("row", name="Put line").all_inner_texts()
        assert f"{lane['gas_by_handler'][0]['gas']:,}" in row
        await console.shows("2 events parked or skipped.")


@pytest.mark.long
async def test_views_that_change_most_lead_to_their_histories(site, browser):
    async with site([fine("hot", n) for n in range(300)]) as one, tab(browser, one, tenant="t") as console:
        await console.go("type/fines")
        await console.click("hot", "link")
        await console.page.locator(".timeline > li").first.wait_for()
        assert "hot" == await console.text("h1")


async def test_texts_from_outside_are_shown_as_texts(site, browser):
    bad = '<img src=x onerror="document.title=1"><script>document.title=1</script>'
    events = [fine(bad, 1, by=bad), fine(bad, -1, by=bad), fine("..", 2), fine("a/b?c#d%2F", 3)]
    async with site(events) as one, tab(browser, one, tenant="t") as console:
        await console.go("query?view=fines&select=by")
        assert bad in await console.text("table")
        for view_id in (bad, "..", "a/b?c#d%2F"):
            await console.go("query?view=fines")
            await console.click(view_id, "link")
            await console.shows("The build holds exactly the view")
            assert view_id == await console.text("h1")
        await console.go("log")
        for details in await console.page.locator("details").all():
            await details.locator("summary").click()
        assert "onerror" in await console.text()
        await console.go("parked/fines")
        await console.click("2", "link")
        await console.shows("NEGATIVE: below zero")
        assert 0 == await console.page.locator("main img, main script").count()
        assert "Projection" in await console.page.title()
