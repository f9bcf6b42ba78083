"""A node one of whose stores is damaged: that view type halts with a word or is right, and the other one goes on."""

from __future__ import annotations

import asyncio
import shutil
from random import Random
from secrets import randbits
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from build_support import TALLY
from engine_support import CORRECTED, TALLIES, added, broken, deploy
from node_support import contents_of, replayed
from patience import WITHIN_S

from projection.engine.adoption import adopt
from projection.engine.verification import verify
from projection.errors import StorageError
from projection.query.reading import serving_reader
from projection.store.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from node_support import Site

    from projection.engine.deployment import DeployedView

PAGE = 4096
EVENTS = [added(f"view {number % 150}", number) for number in range(400)] + [broken("broken")]
LATER = [added(f"view {number}") for number in range(0, 150, 7)]


def two(folder: Path, template: str, tallies: str = TALLIES) -> tuple[DeployedView, ...]:
    programs = {"tallies": tallies, "others": TALLIES.replace("projection tallies", "projection others")}
    return deploy(folder, programs, template=template)


def cut_to_half(data: Path, _: Random) -> None:
    with data.open("r+b") as file:
        file.truncate(data.stat().st_size // 2)


def zero_pages(data: Path, random: Random) -> None:
    overwrite(data, random, bytes(random.choice([1, 4]) * PAGE))


def garbage_page(data: Path, random: Random) -> None:
    overwrite(data, random, random.randbytes(PAGE))


def garbage_head(data: Path, random: Random) -> None:
    overwrite(data, random, random.randbytes(PAGE), page=0)


def all_zero(data: Path, _: Random) -> None:
    data.write_bytes(bytes(data.stat().st_size))


def overwrite(data: Path, random: Random, by: bytes, page: int | None = None) -> None:
    size = data.stat().st_size
    with data.open("r+b") as file:
        file.seek(random.randrange(size // PAGE) * PAGE if page is None else page * PAGE)
        file.write(by)
        file.truncate(size)


DAMAGES: list[Callable[[Path, Random], None]] = [cut_to_half, zero_pages, garbage_page, garbage_head, all_zero]


class Damaged:
    """A site whose two view types were folded, and copies of its data folder with one of them damaged."""

    def __init__(self, site: Site, deployed: tuple[DeployedView, ...]) -> None:
        self.site = site
        self.deployed = deployed
        self.sound = site.data.with_name("sound")
        self.expected: dict[str, Any] = {}

    async def begin(self) -> Damaged:
        await self.site.publish(EVENTS)
        await self.site.catch_up(self.deployed)
        self.site.data.rename(self.sound)
        await self.site.publish(LATER)
        self.expected = replayed(self.deployed, [*EVENTS, *LATER])
        return self

    def copy(self) -> Path:
        """The folder as it was; the file of the tallies, in it."""
        shutil.rmtree(self.site.data, ignore_errors=True)
        shutil.copytree(self.sound, self.site.data)
        return self.site.data / "tallies" / "1" / "0" / "data.mdb"

    async def require_that_the_others_go_on(self) -> str:
        """What the tallies came to: the trouble that halted them, or nothing, and then they are right."""
        async with self.site.node(self.deployed) as node:
            await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
            found = contents_of_sound(node)
            trouble = node.health.troubles().get("view type tallies", "")
        assert self.expected["others"] == found["others"]
        if trouble:
            assert trouble.startswith("halted: "), trouble
            assert "fault of projection" not in trouble
        else:
            assert self.expected["tallies"] == found["tallies"]
        return trouble


def contents_of_sound(node: Any) -> dict[str, Any]:
    return contents_of(SimpleNamespace(lanes=[lane for lane in node.lanes if lane.halted is None]))


@pytest.fixture
async def damaged(site: Site) -> Damaged:
    return await Damaged(site, two(site.folder / "deployed", site.template)).begin()


async def damage_at_random(damaged: Damaged, first: int, count: int) -> int:
    halted = 0
    for seed in range(first, first + count):
        random = Random(seed)
        damage = DAMAGES[seed % len(DAMAGES)]
        damage(damaged.copy(), random)
        try:
            found = {one.build.view_type: one for one in verify(damaged.site.data)}
            assert [] == found["others"].problems
            trouble = await damaged.require_that_the_others_go_on()
            halted += bool(trouble)
            if trouble and damage is not garbage_page and damage is not zero_pages:
                assert found["tallies"].problems
        except BaseException:
            print(f"seed {seed}: {damage.__name__}")
            raise
    return halted


async def test_one_damaged_store_halts_its_view_type_only_wherever_the_damage_is(damaged):
    first = randbits(32)
    print(f"10 damages from seed {first}")
    assert await damage_at_random(damaged, first, 10) >= 6


@pytest.mark.long
async def test_one_damaged_store_halts_its_view_type_only_many_more_times(damaged):
    first = randbits(32)
    print(f"150 damages from seed {first}")
    await damage_at_random(damaged, first, 150)


async def test_a_store_that_is_damaged_is_read_by_nobody_and_the_other_one_is(damaged):
    cut_to_half(damaged.copy(), Random(0))
    with pytest.raises(StorageError, match="is damaged"), serving_reader(damaged.site.data, TALLY):
        pass
    with serving_reader(damaged.site.data, damaged.deployed[0].entry.view_type) as reader:
        assert reader.count_views() == 150


async def test_a_new_build_is_the_way_out_of_a_damaged_store(damaged):
    cut_to_half(damaged.copy(), Random(0))
    for chosen in ({"new_build": True}, {}):
        async with damaged.site.node(damaged.deployed, **chosen) as node:
            await asyncio.wait_for(node.run(until_caught_up=True), WITHIN_S)
            found = contents_of_sound(node)
    assert damaged.expected["tallies"] == found["tallies"]


async def test_an_adopted_build_whose_folder_is_gone_halts_alone_and_nothing_is_answered_in_its_place(damaged):
    damaged.copy()
    damaged.deployed = two(damaged.site.folder / "corrected", damaged.site.template, CORRECTED)
    with Catalog.open(damaged.site.data) as catalog:
        adopt(catalog, next(one for one in damaged.deployed if one.entry.view_type == TALLY))
        build = catalog.require(TALLY)
    shutil.rmtree(build.lane_path())
    assert "is gone, and the log does not give it back" in await damaged.require_that_the_others_go_on()
    assert not build.lane_path().exists()
    problems = {one.build.view_type: one.problems for one in verify(damaged.site.data)}
    assert [] == problems["others"]
    assert "there is no store at" in problems["tallies"][0]
