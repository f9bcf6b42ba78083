"""What operators do in the console, in headless Chromium: each action asks once, shows its command line, and is done."""

from __future__ import annotations

import pytest
from console_support import BY, EVENTS, is_gone, needs_browser, shot, tab, taken
from ops_support import PROGRAM, served
from patience import eventually

pytestmark = [needs_browser, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture
def site(nats_server, stream_name, tmp_path):
    """Opens a node on one stream and one data folder."""
    return lambda events=EVENTS, **more: served(nats_server.url, stream_name, tmp_path, events, **more)


async def test_each_action_asks_once_shows_its_command_and_is_done(site, browser):
    kept = {"retire_after_h": 24}
    async with site(builds=kept) as one, tab(browser, one, tenant="t") as console:
        shown = []
        await console.go("type/fines")
        await console.click("Pause")
        shown.append(await console.confirm())
        await console.shows("Paused: as the ticket says")
        assert ["fines"] == [str(name) for name in one.node.roster.paused]
        await console.click("Resume")
        shown.append(await console.confirm())
        await eventually(lambda: not one.node.roster.paused)

        await console.click("Rebuild")
        shown.append(await console.confirm(**{"When the new build may answer": "manual"}))
        await eventually(lambda: one.node.health.waiting)

        await console.go("builds/fines")
        await console.click("Promote")
        shown.append(await console.confirm(reason=""))
        await eventually(lambda: serving(one) == 2)

        await console.go("builds/fines")
        await console.click("Roll back to it")
        shown.append(await console.confirm())
        await eventually(lambda: serving(one) == 1)

        await console.go("builds/fines")
        await console.click("Retire")
        shown.append(await console.confirm())
        await eventually(lambda: [lane.build for lane in one.node.lanes] == [1])
        await console.go("builds/fines")
        await console.click("Delete")
        shown.append(await console.confirm())
        await eventually(lambda: len(builds(one)) == 1)

        await console.go("view/fines/b")
        await console.click("Repair")
        shown.append(await console.confirm(**{"Only compare; change nothing": True}))

        assert shown == [
            "projection pause fines --reason 'as the ticket says'",
            "projection resume fines --reason 'as the ticket says'",
            "projection rebuild fines --promote manual --reason 'as the ticket says'",
            "projection promote fines 2",
            "projection rollback fines --reason 'as the ticket says'",
            "projection retire fines 2 --reason 'as the ticket says'",
            "projection builds delete fines 2 --reason 'as the ticket says'",
            "projection repair fines --id b --tenant t --dry-run --reason 'as the ticket says'",
        ]
        for line in shown:
            taken(line)
        done = [(record.operation, record.author.name, record.author.door) for record in one.site.catalog.audit()]
        assert {("pause", "alice", "http"), ("promote", "alice", "http"), ("rollback", "alice", "http")} <= {*done}


@pytest.mark.long
async def test_an_operation_under_way_is_canceled(site, browser):
    async with site() as one, tab(browser, one, tenant="t") as console:
        await one.post("/v1/operations/rebuild", BY | {"view_type": "fines", "promote": "manual"})
        await eventually(lambda: one.node.health.waiting)
        (record,) = (await one.get("/v1/operations")).json()["operations"]
        await console.go("builds")
        await console.page.get_by_role("progressbar", name="How far the rebuild is").wait_for()
        await console.click("Cancel")
        line = await console.confirm()
        taken(line)
        assert f"projection operations cancel {record['id']} --reason 'as the ticket says'" == line
        await eventually(lambda: not one.node.health.waiting)
        await eventually(lambda: is_gone(console, "Rebuild of fines, build 2"))


def serving(one):
    return one.service.queries.serving.of(one.node.lanes[0].view_type).number


def builds(one):
    return one.site.catalog.builds(one.node.lanes[0].view_type)


@pytest.mark.long
async def test_a_parked_event_is_understood_and_dropped(site, browser):
    async with site() as one, tab(browser, one, tenant="t") as console:
        await console.go("parked")
        await console.click("fines", "link")
        await console.click("2", "link")
        await console.shows("NEGATIVE: below zero")
        assert "on Put as e" in (await console.text(".source"))
        assert 1 == await console.page.locator(".source .at").count()
        assert '"n": -1' in await console.text("pre.json")
        await shot(console, "parked-by-a-line")
        await console.click("Drop")
        line = await console.confirm(reason="it's wrong")
        taken(line)
        assert r"projection parked drop fines 2 --id a --reason 'it'\''s wrong'" == line
        await console.shows("Nothing is parked here.")
        assert 2 == (await one.get("/v1/views/fines/a")).json()["view"]["n"]


@pytest.mark.long
async def test_what_is_parked_is_retried_by_a_program_that_is_corrected_in_the_console(site, browser):
    async with site() as one, tab(browser, one, tenant="t") as console:
        await console.go("parked/fines")
        await console.click("Retry with a corrected program")
        dialog = console.page.locator("dialog[open]")
        await dialog.get_by_label("Your name").fill("alice")
        program = dialog.locator("textarea")
        assert PROGRAM == await program.input_value()
        await program.fill(PROGRAM.replace("when e.n < 0", "when e.n < undefined"))
        await dialog.locator("button[type=submit]").click()
        await dialog.locator(".alert.bad").wait_for()  # it does not check: nothing was changed
        assert 1 == len(builds(one))
        await shot(console, "retry")
        await program.fill(PROGRAM.replace("when e.n < 0", "when e.n < -100"))
        taken(await dialog.locator(".command pre").inner_text())
        await dialog.locator("button[type=submit]").click()
        await dialog.wait_for(state="detached")
        await console.shows("Nothing is parked here.")
        assert 2 == (await one.get("/v1/views/fines/a")).json()["view"]["n"]


@pytest.mark.long
async def test_the_manifest_is_planned_and_deployed_and_builds_are_compared(site, tmp_path, browser):
    manifest = tmp_path / "manifest.yaml"
    (tmp_path / "fines.proj").write_text(PROGRAM.replace("balance: e.balance", "balance: e.balance + 1.00"))
    async with site(manifest=manifest) as one, tab(browser, one, tenant="t") as console:
        manifest.write_text(
            f"manifest: 1\nsubject_template: {one.site.template!r}\nviews:\n  fines: {{ program: fines.proj }}\n"
        )
        await console.go("builds")
        await console.click("Show the plan")
        await console.shows("folds anew")
        assert 1 == len(builds(one))
        await shot(console, "plan")
        await console.click("Deploy")
        taken(await console.confirm(**{"When the new build may answer": "manual"}))
        await eventually(lambda: one.node.health.waiting)
        await console.go("builds/fines")
        await console.click("Compare", "link")
        await console.shows("The builds differ.")
        text = await console.text()
        await shot(console, "compare-differs")
        assert "0.10 → 1.10" in text
        assert "balance" in text
        taken(await console.page.locator(".command pre").inner_text())
        await console.click("Promote")
        line = await console.confirm()
        taken(line)
        assert "projection promote fines 2 --reason 'as the ticket says'" == line
        await eventually(lambda: serving(one) == 2)


@pytest.mark.long
async def test_what_is_refused_is_told_in_the_dialog_and_nothing_is_closed(site, browser):
    async with site() as one, tab(browser, one, tenant="t") as console:
        await console.go("type/fines")
        for _ in range(2):  # the second one finds a build that is under way
            await console.click("Rebuild")
            dialog = console.page.locator("dialog[open]")
            await dialog.get_by_label("Your name").fill("alice")
            await dialog.get_by_label("When the new build may answer").select_option("manual")
            await dialog.locator("button[type=submit]").click()
            await dialog.locator(".alert.bad").or_(console.page.locator(".toast")).first.wait_for()
        assert "under way" in await dialog.locator(".alert.bad").inner_text()
        await console.page.keyboard.press("Escape")
        await dialog.wait_for(state="detached")
