"""Stores that another process writes, reads, or is killed in: with real processes and real signals."""

import time
from pathlib import Path
from random import Random

import pytest
from lane_child import KEYS
from store_processes import Start, ask

from projection.errors import StaleCommitError
from projection.store import lmdb_env
from projection.store.lmdb_store import LmdbLaneStore
from projection.testing.store_owner import ORDERS, Owner

MIB = 1 << 20


@pytest.mark.parametrize("seed", range(4))
def test_a_writer_killed_at_any_moment_leaves_views_and_position_that_agree(
    path: Path, start: Start, seed: int
) -> None:
    """And nothing that it had committed is lost."""
    random = Random(seed)
    for _ in range(3):
        writer = start("write")
        for _ in range(random.randrange(1, 40)):
            last = int(writer.stdout.readline())
        time.sleep(random.uniform(0, 0.01))  # waits for nothing: the moment of the kill falls anywhere in a commit
        writer.kill()
        committed = [last, *(int(line) for line in writer.stdout if line.endswith("\n"))][-1]
        with LmdbLaneStore.open(path, "f0") as store:
            position = store.position()
            assert committed <= position.scanned <= committed + 1
            assert {b"%d" % position.scanned * 50} == {view for _, view in store.scan(None, ORDERS)}
            assert len(KEYS) == store.count_views() == sum(1 for _ in store.scan(None, ORDERS))


def test_a_reader_in_another_process_sees_whole_commits(path: Path, start: Start) -> None:
    with LmdbLaneStore.open(path, "f0") as store:
        owner = Owner(store)
        owner.write(dict.fromkeys(KEYS, b"0"))
        reader = start("read")
        assert reader.stdout.readline() == "ready\n"
        for number in range(50):
            owner.write(dict.fromkeys(KEYS, b"%d" % number))
            assert f"{len(KEYS)} 1 {number + 2}" == ask(reader, "scan")


def test_a_reader_reads_while_another_process_is_writing(path: Path, start: Start) -> None:
    writer = start("write")
    writer.stdout.readline()
    reader = start("read")
    reader.stdout.readline()
    positions = [0]
    while positions[-1] < 20:
        views, different, position = map(int, ask(reader, "scan").split())
        assert (len(KEYS), 1) == (views, different)
        positions.append(position)
        assert writer.poll() is None
    assert sorted(positions) == positions


def test_a_killed_reader_does_not_make_the_file_grow_for_ever(
    path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It pins the pages that it saw until its slot is freed, which a later commit does."""
    monkeypatch.setattr(lmdb_env, "READER_CHECK_INTERVAL", 0)
    with LmdbLaneStore.open(path, "f0") as store:
        owner = Owner(store)
        owner.write(dict.fromkeys(KEYS, b"x" * 1000))
        reader = start("read")
        reader.stdout.readline()
        assert ask(reader, "hold") == "held"
        reader.kill()
        reader.wait()
        for _ in range(50):
            owner.write(dict.fromkeys(KEYS, b"x" * 1000))
        assert (path / "data.mdb").stat().st_size < 3 * MIB  # 50 commits of 0.3 MiB


def test_an_owner_is_shut_out_by_a_claim_of_another_process(path: Path, start: Start) -> None:
    with LmdbLaneStore.open(path, "f0") as store:
        owner = Owner(store)
        owner.write(dict.fromkeys(KEYS, b"mine"))
        commit = owner.prepare(dict.fromkeys(KEYS, b"mine too"))
        other = start("write")
        assert other.stdout.readline().strip() == "2"
        with pytest.raises(StaleCommitError, match="new owner"):
            store.commit(commit)
