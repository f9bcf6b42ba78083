"""Free pages given back to the disk: nobody who reads or writes notices, and it makes no difference where it is killed."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from errno import EOPNOTSUPP
from random import Random
from secrets import randbits
from typing import TYPE_CHECKING, Any

import pytest

from projection.errors import StorageError
from projection.store import compacting
from projection.store.compacting import compact_store, taken
from projection.store.format import Kind, stamp
from projection.store.lmdb_opening import open_beside, open_to_read, open_to_write

if TYPE_CHECKING:
    from pathlib import Path

    from projection.store.lmdb_env import Environment

MAP = 64 << 20
Contents = dict[bytes, bytes]

# Holds a store open, writes, and opens and closes snapshots: in a process of its own, as a node does.
WRITER = """
import sys
from pathlib import Path
from random import Random
from projection.store.lmdb_opening import open_to_read, open_to_write

environment, random, open_ = open_to_write(Path(sys.argv[1]), map_size=1 << 33), Random(int(sys.argv[2])), []
held = {}

def change(transaction):
    transaction.put(b"format", b'{"kind": "lane", "version": 3}')
    for _ in range(random.choice([1, 50, 400])):
        key = b"key:%05d" % random.randrange(800)
        if random.random() < 0.4:
            transaction.delete(key)
            held.pop(key, None)
        else:
            held[key] = random.randbytes(random.choice([3, 300, 9_000]))
            transaction.put(key, held[key])
    if random.random() < 0.2:
        for key in [key for key in held if key < b"key:00600"]:
            transaction.delete(key)
            del held[key]

def check(transaction, wanted):
    found = dict(transaction.cursor())
    found.pop(b"format", None)
    if found != wanted:
        sys.exit("another state than was written")

for line in sys.stdin:
    if line == "write\\n" or (line == "open\\n" and len(open_) > 3):
        environment.update(change)
    elif line == "open\\n":
        reading = environment.read()
        open_.append((reading, reading.__enter__(), dict(held)))
    elif line == "close\\n" and open_:
        reading, transaction, wanted = open_.pop(random.randrange(len(open_)))
        check(transaction, wanted)
        reading.__exit__(None, None, None)
    for _, transaction, wanted in open_:
        check(transaction, wanted)
    with environment.read() as transaction:
        check(transaction, held)
    print("did", flush=True)
"""


def filled(path: Path, random: Random, *, kept: int = 20) -> Contents:
    """A store of which most was deleted."""
    environment = open_to_write(path, map_size=MAP, sync=False)
    held = {b"key:%05d" % number: random.randbytes(500) for number in range(5_000)}

    def fill(transaction: Any) -> None:
        stamp(transaction, Kind.LANE)
        for key, value in held.items():
            transaction.put(key, value)

    def empty(transaction: Any) -> None:
        for key in list(held)[kept:]:
            transaction.delete(key)

    environment.update(fill)
    environment.update(empty)
    environment.close()
    return dict(list(held.items())[:kept])


def read(path: Path) -> Contents:
    environment = open_to_read(path)
    with environment.closed_on_error(), environment.read() as transaction:
        found = dict(transaction.cursor())
    environment.close()
    found.pop(b"format", None)
    return found


@pytest.fixture(autouse=True)
def _holes(tmp_path):
    """A file system that takes nothing out of files is told of by another test."""
    with (tmp_path / "probe").open("w+b") as file:
        file.write(bytes(1 << 16))
        file.flush()
        try:
            compacting._take_out(file.fileno(), 0, 1 << 15)
        except OSError:
            pytest.skip("this file system takes nothing out of files")


def test_what_was_freed_by_the_last_commit_is_given_back_as_well(tmp_path):
    path = tmp_path / "store"
    held = filled(path, Random(1))
    length = (path / "data.mdb").stat().st_size
    told = []
    before, after = compact_store(path, lambda *now: told.append(now))
    assert 2_500_000 < before
    assert after < 200_000
    assert after == taken(path / "data.mdb")
    assert length <= (path / "data.mdb").stat().st_size
    assert held == read(path)
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] > 2_300_000
    assert compact_store(path).after < 200_000
    environment = open_to_write(path, map_size=MAP)  # what was given back is used again
    for number in range(20):
        environment.update(lambda transaction, number=number: transaction.put(b"more:%d" % number, bytes(50_000)))
    environment.close()
    assert {**held, **{b"more:%d" % number: bytes(50_000) for number in range(20)}} == read(path)


@pytest.mark.parametrize("turns", [60, pytest.param(1_000, marks=pytest.mark.long)])
def test_whoever_reads_or_writes_meanwhile_does_not_notice(tmp_path, turns):
    """A process writes and holds snapshots open, at random; another one takes out what is free, and must not err."""
    seed = randbits(32)
    print(f"{turns} turns, seed {seed}")
    random, path = Random(seed), tmp_path / "store"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:

        def do(what: str) -> None:
            assert writer.stdin is not None
            assert writer.stdout is not None
            writer.stdin.write(f"{what}\n")
            writer.stdin.flush()
            assert "did\n" == writer.stdout.readline()

        try:
            do("write")
            for _ in range(turns):
                do(random.choice(["write", "write", "write", "open", "close"]))
                if random.random() < 0.3:
                    compact_store(path)
        finally:
            writer.kill()
    read(path)  # every page that is in use is sound


KILLED = """
import os, sys
from pathlib import Path
from projection.store import compacting

left, take_out = [int(sys.argv[2])], compacting._take_out

def killed(*arguments):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), 9)
    take_out(*arguments)

compacting._take_out = killed
compacting.compact_store(Path(sys.argv[1]))
"""


def test_a_process_that_is_killed_has_changed_nothing_and_holds_nobody_up(tmp_path):
    seed = randbits(32)
    print(f"seed {seed}")
    random = Random(seed)
    for round_ in range(3):
        path = tmp_path / str(round_)
        held = filled(path, random)
        environment = open_to_write(path, map_size=MAP)
        with environment.read() as before:
            ended = subprocess.run(
                [sys.executable, "-c", KILLED, str(path), str(random.choice([1, 2, 3]))], check=False
            )
            if ended.returncode != 0:
                assert -9 == ended.returncode
            environment.update(lambda transaction: transaction.put(b"more", bytes(9_000)))  # its lock is free again
            assert held == {key: value for key, value in before.cursor() if key.startswith(b"key")}
        environment.close()
        assert {**held, b"more": bytes(9_000)} == read(path)
        compact_store(path)
        assert {**held, b"more": bytes(9_000)} == read(path)


def test_what_a_reader_still_sees_is_left_alone(tmp_path):
    path = tmp_path / "store"
    filled(path, Random(2), kept=5_000)
    environment = open_to_write(path, map_size=MAP)
    with ExitStack() as stack:
        seen = stack.enter_context(environment.read())
        wanted = dict(seen.cursor())
        for number in range(3):
            environment.update(
                lambda transaction, number=number: [
                    transaction.delete(b"key:%05d" % each) for each in range(number * 1_000, 4_900)
                ]
            )
        child = "import sys; from pathlib import Path; from projection.store.compacting import compact_store; "
        child += "print(*compact_store(Path(sys.argv[1])))"
        arguments = [sys.executable, "-c", child, str(path)]
        before, after = map(int, subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.split())
        assert before - after < 1_000_000
        assert wanted == dict(seen.cursor())
        stack.close()
        before, after = map(int, subprocess.run(arguments, check=True, capture_output=True, text=True).stdout.split())
        assert before - after > 2_000_000
    environment.close()


def test_a_file_system_that_takes_nothing_out_of_files_is_told_of(tmp_path, monkeypatch):
    path = tmp_path / "store"
    held = filled(path, Random(3))

    def refuse(*_: object) -> None:
        raise OSError(EOPNOTSUPP, os.strerror(EOPNOTSUPP))

    monkeypatch.setattr(compacting, "_take_out", refuse)
    with pytest.raises(StorageError, match="does not support holes in files") as refused:
        compact_store(path)
    assert "projection rebuild" in refused.value.hint
    assert held == read(path)


def test_a_store_that_is_not_there_or_was_replaced_is_refused(tmp_path, monkeypatch):
    with pytest.raises(StorageError, match="cannot be compacted: No such file"):
        compact_store(tmp_path)
    path, other = tmp_path / "store", tmp_path / "other"
    filled(path, Random(4))
    filled(other, Random(5))

    def replaced(_: object) -> Environment:
        (other / "data.mdb").replace(path / "data.mdb")
        return open_beside(path)

    monkeypatch.setattr(compacting, "open_beside", replaced)
    with pytest.raises(StorageError, match="was replaced"):
        compact_store(path)
