"""What the tests of the console share: a headless browser, a node to look at, and what a page may not do."""

from __future__ import annotations

import shlex
import shutil
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from node_support import SHOP
from ops_support import fine, served
from patience import WITHIN_MS, eventually

from projection.testing.shop import shop_lines

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
LACKING = (
    "Playwright and axe are not installed: .venv/bin/python -m pip install --group browser"
    if find_spec("playwright") is None or find_spec("axe_playwright_python") is None
    else "there is no Chromium: apt-get install chromium"
    if BROWSER is None
    else None
)
needs_browser = pytest.mark.skipif(LACKING is not None, reason=LACKING or "")
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 860}
ORDERS = "shop_orders"
BY = {"by": "alice"}
SHOTS = Path(__file__).resolve().parents[2] / "build/console"  # not committed: to be looked at
EVENTS = [fine("a", 1), fine("a", -1), fine("a", 2), fine("b", 3), fine("c", 4, balance=0.10)]


@asynccontextmanager
async def browsing():
    """A headless browser."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox", "--disable-gpu", "--force-prefers-reduced-motion"]
        )
        try:
            yield browser
        finally:
            await browser.close()


class Console:
    """One tab with the console of a node, and everything that went wrong in it."""

    def __init__(self, page, url):
        self.page = page
        self.url = url
        self.wrong = []  # what the browser complained of: errors of scripts, and what its policies refused
        self.elsewhere = []  # requests to other hosts
        page.set_default_timeout(WITHIN_MS)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", self._told)
        page.on("request", self._asked)

    def _told(self, message):
        if message.type == "error" and "Failed to load resource" not in message.text:  # an answer of the node's
            self.wrong.append(message.text)

    def _asked(self, request):
        if not request.url.startswith((self.url, "about:")):
            self.elsewhere.append(request.url)

    async def go(self, route=""):
        """Open a page of the console anew, and wait until it is there."""
        await self.page.goto("about:blank")
        await self.page.goto(f"{self.url}/console/#/{route}")
        await self.page.wait_for_selector("main h1")

    async def text(self, selector="main"):
        return await self.page.inner_text(selector)

    async def shows(self, text, selector="main"):
        """Wait until a text can be seen."""
        await self.page.locator(selector).get_by_text(text).first.wait_for()

    async def click(self, name, role="button", selector="main"):
        await self.page.locator(selector).get_by_role(role, name=name, exact=True).first.click()

    async def confirm(self, by="alice", reason="as the ticket says", **fields):
        """Fill in the dialog that is open, and do what it asks about; the command line that it shows."""
        dialog = self.page.locator("dialog[open]")
        await dialog.wait_for()
        await dialog.get_by_label("Your name").fill(by)
        await dialog.get_by_label("Reason", exact=True).fill(reason)
        for label, value in fields.items():
            element = dialog.get_by_label(label)
            if value is True:
                await element.check()
            elif await element.evaluate("element => element.tagName") == "SELECT":
                await element.select_option(value)
            else:
                await element.fill(value)
        shown = await dialog.locator(".command pre").inner_text()
        await dialog.locator("button[type=submit]").click()
        await dialog.wait_for(state="detached")
        return shown


@asynccontextmanager
async def tab(browser, one, *, viewport=None, scheme="light", token=None, tenant=None):
    """The console of a node in a tab; nothing may go wrong in it, and nothing may come from elsewhere."""
    context = await browser.new_context(viewport=viewport or DESKTOP, color_scheme=scheme, locale="en-US")
    kept = {"projection.token": token, "projection.tenant": tenant}
    for name, value in kept.items():
        if value is not None:
            kept_in = f"sessionStorage.setItem({name!r}, {value!r})"
            await context.add_init_script(f"if (location.origin !== 'null') {kept_in}")
    page = await context.new_page()
    console = Console(page, one.url)
    try:
        yield console
    finally:
        await context.close()
    assert [] == console.wrong
    assert [] == console.elsewhere


def spoiled(line, number):
    """An event of the shop that no view takes: its amount is no amount."""
    return line.replace(b'"quantity":', b'"quantity":"many","was":') if number else line


def shop(count=2_000, *, every=0):
    """Events of a shop; of `every` so many that add an item, one is spoiled."""
    lines, items = list(shop_lines(count)), 0
    for place, line in enumerate(lines):
        if b'"ItemAdded"' in line:
            items += 1
            if every and items % every == 0:
                lines[place] = spoiled(line, 1)
    return lines


@asynccontextmanager
async def shop_node(nats_server, stream_name, folder: Path, events, **more):
    """A node with the three view types of the shop, which has folded these events."""
    async with served(nats_server.url, stream_name, folder, events, programs=SHOP, **more) as one:
        last = max(lane.position.scanned for lane in one.node.lanes)
        await eventually(lambda: all(lane.position.scanned >= last for lane in one.node.lanes))
        yield one


def taken(line):
    """Have the command line read a command, which does not run: what it does not take raises."""
    import click

    from projection.cli.main import app

    words = shlex.split(line)
    assert "projection" == words[0]
    command, name, rest = app, "projection", words[1:]
    context = None
    while isinstance(command, click.Group):
        context = command.make_context(name, rest, parent=context)
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
    command.make_context(name, rest, parent=context)


async def serious(console):
    """What axe finds that keeps people out."""
    from axe_playwright_python.async_playwright import Axe

    found = await Axe().run(console.page, options={"resultTypes": ["violations"]})
    return [
        (one["id"], one["impact"], [node["html"][:200] for node in one["nodes"][:3]])
        for one in found.response["violations"]
        if one["impact"] in ("serious", "critical")
    ]


async def shot(console, name):
    SHOTS.mkdir(parents=True, exist_ok=True)
    await console.page.screenshot(path=SHOTS / f"{name}.png", animations="disabled")


async def has_rows(rows, wanted):
    return wanted == await rows.count()


async def is_gone(console, text):
    return not await console.page.get_by_text(text).count()
