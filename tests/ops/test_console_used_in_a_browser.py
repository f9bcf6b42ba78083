"""The console in headless Chromium, as it is used: plots, queries, views, the log, by keyboard, without a node, with much to show."""

from __future__ import annotations

from math import sin

import pytest
from console_support import EVENTS, has_rows, is_gone, needs_browser, serious, shop, shop_node, shot, tab, taken
from ops_support import PROGRAM, fine, served
from patience import eventually

pytestmark = [needs_browser, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture
def site(nats_server, stream_name, tmp_path):
    """Opens a node on one stream and one data folder."""
    return lambda events=EVENTS, **more: served(nats_server.url, stream_name, tmp_path, events, **more)


@pytest.mark.long
async def test_the_plots_follow_the_log_while_a_page_is_open(nats_server, stream_name, tmp_path, browser):
    events = iter(shop(6_000, every=400))
    looks, count = "import('/console/js/node.js').then((one) => one.node.samples.length)", 60
    async with (
        shop_node(nats_server, stream_name, tmp_path, [next(events) for _ in range(1_000)]) as one,
        tab(browser, one, tenant="north") as console,
    ):
        await console.page.clock.install()  # the console looks every two seconds of a clock that this test moves
        await console.go()
        for look in range(count):
            await one.publish([next(events) for _ in range(int(45 + 25 * sin(look / 7) + 12 * sin(look * 2)))])

            async def looked(there=look + 2):
                await console.page.clock.run_for(500)
                return there <= await console.page.evaluate(looks)

            await eventually(looked)
        rate, lag = await console.page.locator(".plot .stroke").all()
        for plot in (rate, lag):
            assert (await plot.get_attribute("d")).count("L") >= count - 2
        shown = await console.page.locator(".plot .now").first.inner_text()
        assert float(shown) > 0
        await shot(console, "overview-live")


# --- queries and views ------------------------------------------------------------------------------------------------


@pytest.mark.long
async def test_a_condition_is_completed_by_keyboard_and_answered_exactly(fines, browser):
    async with tab(browser, fines, tenant="t") as console:
        await console.go("query")
        keyboard, field = console.page.keyboard, console.page.get_by_label("Filter", exact=True)
        await field.focus()
        await keyboard.type("sta")
        await console.page.get_by_role("option", name="status").wait_for()
        await keyboard.press("ArrowDown")
        await keyboard.press("Enter")
        assert "status" == await field.input_value()
        await keyboard.type(' == "o')
        await keyboard.press("ArrowDown")
        await keyboard.press("Tab")
        assert 'status == "open"' == await field.input_value()
        await keyboard.type(" and bala")
        await shot(console, "completion")
        await keyboard.press("ArrowDown")
        await keyboard.press("Enter")
        await keyboard.type(" < 1")
        await keyboard.press("Escape")
        await keyboard.press("Enter")
        await console.shows("1 view, as of event 5")
        assert "0.10" in await console.text("table")
        line = await console.page.locator(".command pre").inner_text()
        taken(line)
        assert "'status == \"open\" and balance < 1'" in line
        await console.click("Explain")
        await console.shows("Examined")
        await field.fill("statsu == 1")
        await keyboard.press("Enter")
        await console.page.locator(".alert.bad").wait_for()
        assert "statsu" in await console.text(".alert.bad")


@pytest.mark.long
async def test_a_query_has_an_address_and_goes_on_page_by_page(site, browser):
    events = [fine(f"v{n:03d}", n, balance=9_007_199_254_740_993) for n in range(25)]
    async with site(events) as one, tab(browser, one, tenant="t") as console:
        await console.go("query?view=fines&limit=10&sort=-n&select=n,balance")
        await console.shows("25 views")
        rows = console.page.locator("tbody tr")
        assert 10 == await rows.count()
        for there in (20, 25):
            await console.click("More")
            await eventually(lambda there=there: has_rows(rows, there))
        assert "9007199254740993.00" in await console.text("table")
        assert await console.page.get_by_role("button", name="More").is_hidden()


@pytest.mark.long
async def test_a_view_is_shown_with_its_history_and_as_it_was(fines, browser):
    async with tab(browser, fines, tenant="t") as console:
        await console.go("view/fines/a")
        await console.shows("NEGATIVE: below zero")
        assert ["made", "parked", "waits"] == await console.page.locator(".timeline .badge").all_inner_texts()
        assert "Degraded" in await console.text()
        await console.page.get_by_label("As of").fill("1")
        await console.click("Show")
        await console.shows("The view as of 1")
        await eventually(lambda: has_rows(console.page.locator(".timeline > li"), 1))
        for line in await console.page.locator(".command pre").all_inner_texts():
            taken(line)


@pytest.mark.long
async def test_the_log_follows_and_can_be_read_backwards(site, browser):
    events = [fine(f"v{n}", n) for n in range(120)]
    async with site(events) as one, tab(browser, one, tenant="t") as console:
        await console.go("log")
        await console.shows("120 is the last sequence")
        await console.page.locator("details summary").first.click()
        await one.publish([fine("new", 1)])
        await console.shows("121 is the last sequence")
        assert 1 == await console.page.locator("details[open]").count()  # what was opened stays so
        await console.click("Older")
        await eventually(lambda: _begins(console, "71"))
        assert not await console.page.get_by_label("Follow").is_checked()


async def _begins(console, sequence):
    return f" {sequence}," in f" {await console.page.locator('.timeline .dim').first.inner_text()}"


# --- by keyboard, without a node, with much to show -------------------------------------------------------------------


@pytest.mark.long
async def test_everything_is_reached_by_keyboard(fines, browser):
    async with tab(browser, fines, tenant="t") as console:
        await console.go("type/fines")
        page, keyboard = console.page, console.page.keyboard
        await console.click("Overview", "link")
        await console.shows("View types")
        await page.evaluate("() => document.activeElement.blur()")
        await page.keyboard.press("Tab")
        seen = []
        for _ in range(40):
            seen.append(await page.evaluate("() => document.activeElement.textContent.trim().slice(0, 20)"))
            await keyboard.press("Tab")
        for wanted in ("Parked events", "Builds", "Query", "Log", "Theme: system", "fines"):
            assert wanted in seen
        await page.get_by_role("link", name="fines", exact=True).focus()
        await keyboard.press("Enter")
        await console.shows("Gas by handler")
        await page.get_by_role("button", name="Pause").focus()
        await keyboard.press("Enter")
        await page.locator("dialog[open]").wait_for()
        for _ in range(12):
            await keyboard.press("Tab")
            assert await page.evaluate(
                "() => document.activeElement === document.body || !!document.activeElement.closest('dialog')"
            )
        await keyboard.press("Escape")
        await page.locator("dialog").wait_for(state="detached")
        assert "Pause" == await page.evaluate("() => document.activeElement.textContent")


@pytest.mark.long
async def test_the_theme_is_chosen_and_kept(fines, browser):
    async with tab(browser, fines, scheme="dark", tenant="t") as console:
        await console.go()

        async def theme():
            return await console.page.evaluate("() => document.documentElement.dataset.theme")

        assert "dark" == await theme()
        await console.page.get_by_role("button", name="Theme: system").click()
        assert "light" == await theme()
        await console.page.reload()
        await console.shows("fines")
        assert "light" == await theme()


@pytest.mark.long
async def test_a_node_that_is_away_is_told_and_comes_back(site, browser):
    async with site() as one, tab(browser, one, tenant="t") as console:
        await console.go()
        await console.shows("fines")
        await console.page.route("**/v1/**", lambda route: route.abort())
        await console.shows("The node cannot be reached.")
        assert "not reached" == await console.text("#node")
        await console.page.unroute("**/v1/**")
        await eventually(lambda: is_gone(console, "The node cannot be reached."))
        console.wrong = [one for one in console.wrong if "ERR_FAILED" not in one]


@pytest.mark.long
async def test_ten_thousand_parked_events_stay_usable(site, browser):
    events = [fine(f"v{n:05d}", -1) for n in range(10_000)]
    entry = {"limits": {"parked": 20_000, "parked_per_tenant": 20_000}}
    async with site(events, entry=entry) as one, tab(browser, one, tenant="t") as console:
        await console.go("parked/fines")
        await console.shows("10,000 parked events in all")
        rows = console.page.locator("tbody tr")
        assert 50 == await rows.count()
        first = await rows.first.inner_text()
        for page in range(2, 6):
            await console.click("Next")
            await console.shows(f"Page {page}")
        assert first != await rows.first.inner_text()
        for page in range(4, 0, -1):
            await console.click("Previous")
            await console.shows(f"Page {page}")
        assert first == await rows.first.inner_text()
        await console.page.get_by_label("Code").fill("X999")
        await console.click("Filter")
        await console.shows("No match among the parked events of this page; go to the next page.")
        await shot(console, "ten-thousand")


@pytest.mark.long
async def test_three_hundred_view_types_stay_usable(nats_server, stream_name, tmp_path, browser):
    programs = {f"type_{n:03d}": PROGRAM.replace("projection fines", f"projection type_{n:03d}") for n in range(300)}
    async with served(nats_server.url, stream_name, tmp_path, EVENTS, programs=programs) as one:
        await eventually(lambda: one.node.is_ready)
        async with tab(browser, one, tenant="t") as console:
            await console.go()
            rows = console.page.locator("tbody tr")
            await eventually(lambda: has_rows(rows, 300))
            await console.page.get_by_label("Find a view type").fill("type_29")
            await eventually(lambda: has_rows(rows, 10))
            await shot(console, "three-hundred")
            await console.click("type_295", "link")
            await console.shows("Gas by handler")
            assert [] == await serious(console)
            for route, wanted in (("builds", 300), ("parked", 300), ("query?view=type_150", 3)):
                await console.go(route)
                await eventually(lambda wanted=wanted: has_rows(rows, wanted))
