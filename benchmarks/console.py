"""How long the console takes to be seen: from the address to the first paint, and to the figures of the node.

In headless Chromium on the same machine, each time with an empty cache, of a node with twenty view types and some
thousands of views. Where Playwright or a browser is missing, nothing is measured, and a note says so.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from projection.bundled import bundled
from projection.model.subjects import DEFAULT_TEMPLATE, SubjectTemplate
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.embedded import EmbeddedServer
from projection.stream.jetstream import JetStream
from projection.stream.publisher import Outgoing, publish_all
from projection.testing.shop import shop_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNS = 9
VIEW_TYPES = 20
EVENTS = 4_000
ALLOWED_MS = 1_000
_STREAM = "shop"
_WITHIN_S = 120.0
_TEMPLATE = SubjectTemplate.parse(DEFAULT_TEMPLATE)
_URL = re.compile(r"http://127\.0\.0\.1:\d+")
_BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_PAINTS = "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
_SHOWN = "() => performance.now()"


def measure() -> Iterator[dict[str, Any]]:
    """Milliseconds until something is painted, and until the overview has its rows; the medians."""
    if find_spec("playwright") is None or _BROWSER is None:
        print("console: not measured, for there is no Playwright or no Chromium here", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory(prefix="projection-bench-") as folder:
        place = Path(folder)
        with EmbeddedServer(place / "nats") as server, _node(server.url, place) as url:
            painted, shown = asyncio.run(_seen(url))
    yield _row("console_first_paint_ms", painted)
    yield _row("console_overview_ms", shown)


def _row(name: str, found: list[float]) -> dict[str, Any]:
    ours = median(found)
    return {"name": name, "ours": round(ours), "yardstick": ALLOWED_MS, "ratio": round(ours / ALLOWED_MS, 2)}


async def _seen(url: str) -> tuple[list[float], list[float]]:
    from playwright.async_api import async_playwright  # noqa: PLC0415 - it may be missing

    painted: list[float] = []
    shown: list[float] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=_BROWSER, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(RUNS):
            context = await browser.new_context()
            page = await context.new_page()
            await page.goto(f"{url}/console/")
            await page.wait_for_selector("tbody tr", timeout=1_000 * _WITHIN_S)
            shown.append(await page.evaluate(_SHOWN))
            painted.append(await page.evaluate(_PAINTS))
            await context.close()
        await browser.close()
    print(f"console: painted after {painted} ms, shown after {shown} ms", file=sys.stderr)
    return painted, shown


@contextmanager
def _node(nats_url: str, place: Path) -> Iterator[str]:
    """Where a node listens that has folded the events of a shop into many view types."""
    program = bundled("projections/shop_orders/program.proj").read_text()
    views = {}
    for name in (f"orders_{number:02d}" for number in range(VIEW_TYPES)):
        (place / f"{name}.proj").write_text(program.replace("projection shop_orders", f"projection {name}", 1))
        views[name] = {"program": f"{name}.proj"}
    (place / "manifest.json").write_text(json.dumps({"manifest": 1, "views": views}))
    settings = {
        "nats": {"url": nats_url},
        "stream": _STREAM,
        "storage": str(place / "data"),
        "manifest": str(place / "manifest.json"),
        "http": {"listen": "127.0.0.1:0"},
    }
    (place / "settings.json").write_text(json.dumps(settings))
    asyncio.run(_publish(nats_url))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROJECTION_")}
    command = [sys.executable, "-m", "projection", "run", "--config", str(place / "settings.json")]
    with (place / "node.log").open("wb") as log:
        node = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            yield _url(place / "node.log")
            node.terminate()
            node.wait(_WITHIN_S)
        finally:
            node.kill()
            node.wait()


def _url(log: Path) -> str:
    """Where the node listens, once it has caught up."""
    end = monotonic() + _WITHIN_S
    while monotonic() < end:
        text = log.read_text()
        if "ready: every view type has caught up" in text and (found := _URL.search(text)):
            return found[0]
        sleep(0.1)
    raise AssertionError(log.read_text()[-2_000:])


async def _publish(nats_url: str) -> None:
    async with await Nats.connect(NatsConnection(nats_url)) as nats:
        await JetStream(nats).ensure_stream(_STREAM, [_TEMPLATE.filter()])
        await publish_all(nats, _STREAM, map(_outgoing, shop_lines(EVENTS)))


def _outgoing(line: bytes) -> Outgoing:
    event = json.loads(line)
    return Outgoing(_TEMPLATE.subject(event["tenant_id"], event["aggregate_type"], event["aggregate_id"]), line)
