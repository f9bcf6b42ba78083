"""Randomized schedules of faults: whatever happens, and in whatever order, the views are those of a replay.

Each schedule is drawn by a seed, which is printed; with CRASH_SEED in the environment that one comes again, as far as a
machine's speed allows.
"""

from __future__ import annotations

import os
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from secrets import randbits
from threading import Event
from time import monotonic, sleep
from typing import TYPE_CHECKING

import pytest
from crash_log import make_log
from crash_schedules import Schedule
from crash_site import CrashSite

if TYPE_CHECKING:
    from pathlib import Path

    from projection.stream.embedded import EmbeddedServer

SOME = 2
MANY = 50
TIME_BOX_S = 5 * 60.0
AT_A_TIME = 2
KILLS = 100


def test_a_few_schedules_end_with_the_views_of_a_replay(tmp_path: Path) -> None:
    seeds = [int(seed)] if (seed := os.environ.get("CRASH_SEED")) else [randbits(32) for _ in range(SOME)]
    for seed in seeds:
        carry_out(seed, tmp_path / str(seed))


@pytest.mark.long
def test_as_many_schedules_as_5_minutes_allow_end_with_the_views_of_a_replay(tmp_path: Path) -> None:
    first, until = randbits(32), monotonic() + TIME_BOX_S
    numbers, failed = count(), Event()

    def one_after_another() -> int:
        done = 0
        while monotonic() < until and not failed.is_set():
            seed = first + next(numbers)
            try:
                carry_out(seed, tmp_path / str(seed))
            except BaseException:
                failed.set()
                raise
            done += 1
        return done

    with ThreadPoolExecutor(AT_A_TIME) as threads:
        done = sum(each.result() for each in [threads.submit(one_after_another) for _ in range(AT_A_TIME)])
    print(f"{done} schedules, seeds from {first} on")
    assert done >= MANY


@pytest.mark.long
def test_a_hundred_kills_at_random_over_a_long_log_change_nothing(server: EmbeddedServer, tmp_path: Path) -> None:
    seed = int(os.environ.get("CRASH_SEED") or randbits(32))
    print(f"seed {seed}")
    dice = random.Random(seed)
    site = CrashSite(server, tmp_path, make_log(dice, KILLS * 500))
    for _ in range(KILLS):
        site.publish(500)
        with site.start(until_caught_up=False) as node:
            if dice.random() < 0.7:
                node.wait_until_it_reads()
            sleep(dice.uniform(0.0, 0.8))
            assert node.runs, site.node_log()
    site.check()
    print(f"committed after {KILLS} kills: {sorted(site.committed().values())} of {site.published}")
    site.run_to_the_end()
    site.check_all()


def carry_out(seed: int, folder: Path) -> None:
    schedule = Schedule.draw(seed)
    print(schedule)
    folder.mkdir()
    try:
        schedule.carry_out(folder)
    except BaseException as error:
        error.add_note(f"again with CRASH_SEED={seed}; what is left lies in {folder}")
        raise
    shutil.rmtree(folder)
