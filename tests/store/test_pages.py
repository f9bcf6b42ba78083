"""Damage to the pages of a store, at random places: it is found before LMDB follows it, or it does no harm."""

from __future__ import annotations

import os
from random import Random
from secrets import randbits
from typing import TYPE_CHECKING, Any

import lmdb
import pytest

from projection.errors import StorageDamagedError, StorageError
from projection.store import lmdb_env
from projection.store.lmdb_env import Environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PAGE = 4096
Contents = dict[bytes, bytes]


def filled(path: Path, random: Random, transactions: int) -> Contents:
    """A store with large and small values, some of which were changed and deleted."""
    held: Contents = {}
    with_environment = Environment.create_or_open(path, map_size=64 << 20, sync=False)

    def change(transaction: Any) -> None:
        for _ in range(random.choice([1, 20, 200])):
            key = b"key:%05d" % random.randrange(600)
            if random.random() < 0.3:
                transaction.delete(key)
                held.pop(key, None)
            else:
                held[key] = random.randbytes(random.choice([3, 30, 300, 9_000]))
                transaction.put(key, held[key])

    for _ in range(transactions):
        with_environment.update(change)
    with_environment.close()
    return held


def read(path: Path) -> Contents:
    environment = Environment.open_readonly(path)
    with environment.closed_on_error(), environment.read() as transaction:
        found = dict(transaction.cursor())
    environment.close()
    return found


def written(path: Path) -> Contents:
    """All that a store holds after a change that uses its free pages."""
    environment = Environment.create_or_open(path, map_size=64 << 20, sync=False)
    with environment.closed_on_error():
        for number in range(5):
            environment.update(lambda transaction, number=number: transaction.put(b"more:%d" % number, bytes(9_000)))
    environment.close()
    return {key: value for key, value in read(path).items() if not key.startswith(b"more:")}


def in_a_child(work: Callable[[], Contents], expected: Contents) -> str:
    """How the work ends in a process of its own.

    `damaged`, `equal`, `different within values` that have pages of their own, `different`, or the signal that ended it.
    """
    if not (child := os.fork()):
        status = 3
        try:
            status = compared(work(), expected)
        except StorageDamagedError:
            status = 2
        finally:
            os._exit(status)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found = {0: "equal", 1: "different", 2: "damaged", 4: "different within values"}
    return found.get(ended, f"ended with {ended}")


def compared(found: Contents, expected: Contents) -> int:
    """0 for the same, 4 where only values differ that have pages of their own, in their bytes alone; else 1."""
    different = [key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)]
    is_within = found.keys() == expected.keys() and all(
        len(found[key]) == len(expected[key]) > PAGE for key in different
    )
    return 0 if not different else 4 if is_within else 1


def truncate(file: Any, size: int, random: Random) -> None:
    file.truncate(random.randrange(1, size))


def zero(file: Any, size: int, random: Random) -> None:
    _write(file, size, random, bytes(random.choice([512, PAGE, 3 * PAGE])))


def garble(file: Any, size: int, random: Random) -> None:
    _write(file, size, random, random.randbytes(random.choice([512, PAGE, 3 * PAGE])))


def swap_pages(file: Any, size: int, random: Random) -> None:
    one, other = random.sample(range(size // PAGE), 2)
    file.seek(one * PAGE)
    page = file.read(PAGE)
    file.seek(other * PAGE)
    file.write(page)


def _write(file: Any, size: int, random: Random, data: bytes) -> None:
    file.seek(random.randrange(0, size // 512) * 512)
    file.write(data)
    file.truncate(size)


def damaged_at_random(tmp_path: Path, first: int, count: int) -> dict[str, int]:
    counts: dict[str, int] = {}
    for seed in range(first, first + count):
        random = Random(seed)
        path = tmp_path / str(seed)
        held = filled(path, random, random.choice([1, 4, 10]))
        kind = random.choice([truncate, zero, garble, swap_pages])
        data = path / "data.mdb"
        with data.open("r+b") as file:
            kind(file, data.stat().st_size, random)
        work = random.choice([read, written])
        ended = in_a_child(lambda path=path, work=work: work(path), held)
        counts[ended] = counts.get(ended, 0) + 1
        # A long value has pages of its own, of which only the first is told by anything.
        within_a_value = ended == "different within values" and kind in (zero, garble, swap_pages)
        assert ended in ("equal", "damaged") or within_a_value, (
            f"seed {seed}: {kind.__name__}, {work.__name__}: {ended}"
        )
    return counts


def test_pages_that_are_damaged_at_random_are_found_before_they_are_followed(tmp_path):
    first = randbits(32)
    print(f"60 damages from seed {first}")
    counts = damaged_at_random(tmp_path, first, 60)
    assert counts["damaged"] > 20


@pytest.mark.parametrize("lost", [0, 1])
def test_one_head_over_the_other_is_damage(tmp_path, lost):
    """The transaction that only the other one knew would be gone without a word."""
    held = filled(tmp_path / "store", Random(1), 4)
    with (tmp_path / "store" / "data.mdb").open("r+b") as file:
        file.seek((1 - lost) * PAGE)
        page = file.read(PAGE)
        file.seek(lost * PAGE)
        file.write(page)
    for work in (read, written):
        assert in_a_child(lambda work=work: work(tmp_path / "store"), held) == "damaged"


@pytest.mark.long
def test_many_more_damages_are_found(tmp_path):
    first = randbits(32)
    print(f"1000 damages from seed {first}")
    print(damaged_at_random(tmp_path, first, 1_000))


def test_a_store_is_sound_after_every_change(tmp_path):
    random = Random(randbits(32))
    for number in range(8):
        held = filled(tmp_path / str(number), random, random.randrange(12))
        assert held == read(tmp_path / str(number))


def test_a_reader_beside_another_process_leaves_the_look_to_that_one(tmp_path, monkeypatch):
    held = filled(tmp_path / "store", Random(1), 2)
    has_it, may_end = os.pipe(), os.pipe()
    if not (child := os.fork()):
        environment = lmdb.open(str(tmp_path / "store"), map_size=64 << 20)
        os.write(has_it[1], b"x")
        os.read(may_end[0], 1)
        environment.close()
        os._exit(0)
    os.read(has_it[0], 1)

    def looked(*_: object) -> None:
        raise AssertionError("it was looked at")

    monkeypatch.setattr(lmdb_env, "require_sound", looked)
    assert held == read(tmp_path / "store")
    os.write(may_end[1], b"x")
    os.waitpid(child, 0)
    with pytest.raises(AssertionError, match="it was looked at"):
        read(tmp_path / "store")


@pytest.mark.parametrize("head", [b"", b"no store\n" * 2_000, bytes(2 * PAGE)])
def test_what_is_no_store_is_said_to_be_none(tmp_path, head):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "data.mdb").write_bytes(head)
    with pytest.raises(StorageError):
        read(tmp_path / "store")
