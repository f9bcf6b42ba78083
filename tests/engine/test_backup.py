"""A backup is a consistent copy of all builds; what has changed since it was written is found, and never restored."""

from __future__ import annotations

import errno
import shutil
import subprocess
from random import Random
from secrets import randbits
from typing import TYPE_CHECKING

import pytest
from backup_support import ALICE, OTHERS, PROGRAMS, backed_up, restored, some_log, states
from build_support import TALLY, fold_on
from engine_support import CORRECTED, added, contents, deploy, feed

from projection.engine import backup, restoring
from projection.engine.adoption import adopt
from projection.engine.backup import back_up, outside
from projection.engine.backup_place import BackupSource
from projection.engine.builds import begun, open_store
from projection.engine.decisions import drop
from projection.engine.lane import Lane
from projection.engine.recipes import deployed_by
from projection.engine.refilling import refilled
from projection.engine.restoring import verify_backup
from projection.errors import ConfigurationError, ProjectionError, StorageError
from projection.model.ids import TenantId, ViewId
from projection.store import backup_directory
from projection.store.audit import AuditRecord
from projection.store.backup_directory import BackupDirectory
from projection.store.catalog import Catalog, CatalogReader
from projection.store.lmdb_reader import LmdbViewReader

if TYPE_CHECKING:
    from pathlib import Path

A, X = TenantId("a"), ViewId("x")
FLIPS = 60


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return deploy(tmp_path_factory.mktemp("both"), PROGRAMS)


@pytest.fixture
def log():
    return some_log()


@pytest.fixture(autouse=True)
def no_disk(monkeypatch):
    """Nothing here outlives the machine, and a busy one takes long to bring things to its disk."""
    monkeypatch.setattr(backup_directory.os, "fsync", lambda _: None)


@pytest.fixture(scope="module")
def made(tmp_path_factory, both) -> Path:
    """With a build of each view type, of which one is behind the other, and a decision about one."""
    data, log = tmp_path_factory.mktemp("made") / "data", some_log()
    fold_on(data, both, log.messages[:4])
    fold_on(data, both[:1], log.messages[4:])
    with Catalog.open(data) as catalog:
        drop(catalog, TALLY, A, 2, X, author=ALICE)
    return data


@pytest.fixture
def data(tmp_path: Path, made) -> Path:
    return shutil.copytree(made, tmp_path / "data")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "backups"


def store_of(directory: Path, made, view_type=TALLY, number=1) -> Path:
    return directory / made.name / view_type / str(number) / "0" / "data.mdb"


def problems(directory: Path) -> list[str]:
    backups = BackupDirectory(directory)
    return [problem for name in backups.names() for problem in verify_backup(backups, name).problems]


# --- a backup and what is made of it ----------------------------------------------------------------------------------


def test_a_restored_folder_holds_what_the_other_held_and_goes_on_from_there(data, directory, tmp_path, both, log):
    made = backed_up(data, directory)
    assert (2, made.bytes, [], []) == (made.builds, made.copied + len_of_sums(directory, made), [], made.damaged)
    assert [] == problems(directory)
    elsewhere = restored(directory, tmp_path / "elsewhere")
    assert states(data) == states(elsewhere)
    more = [added("x", 100), added("q", 3)]
    log.add(*more)
    for folder in (data, elsewhere):
        fold_on(folder, both[1:], log.messages[4:])
        fold_on(folder, both[:1], log.messages[6:])
    assert states(data) == states(elsewhere)


def len_of_sums(directory, made) -> int:
    return (directory / made.name / "SHA256SUMS").stat().st_size


def test_catalog_and_audit_come_along_and_name_and_key_are_new(data, directory, tmp_path):
    with Catalog.open(data, "first") as catalog:
        catalog.pause(OTHERS, AuditRecord("pause", OTHERS, ALICE))
    backed_up(data, directory)
    elsewhere = restored(directory, tmp_path / "elsewhere")
    with Catalog.open(data) as one, Catalog.open(elsewhere) as other:
        assert one.folder_id == other.folder_id
        assert one.cursor_key != other.cursor_key
        assert one.node_id != other.node_id
        assert {OTHERS: ALICE.reason} == other.paused()
        assert ["drop", "pause", "restore"] == [record.operation for record in other.audit()]
        assert [build.drops for build in one.all_builds()] == [build.drops for build in other.all_builds()]
    again = backed_up(elsewhere, directory)
    assert [] == again.damaged, "the backups of a folder go on where it was restored"


def test_the_sums_are_those_of_sha256sum(data, directory):
    made = backed_up(data, directory)
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=directory / made.name, check=False
    )
    assert 0 == checked.returncode


def test_a_build_that_did_not_change_is_linked_and_one_that_did_is_copied(data, directory, tmp_path, both, log):
    first = backed_up(data, directory)
    fold_on(data, both[1:], log.messages[4:])
    second = backed_up(data, directory)
    assert store_of(directory, first, OTHERS).samefile(store_of(directory, second, OTHERS))
    assert not store_of(directory, first).samefile(store_of(directory, second))
    assert second.copied < second.bytes - store_of(directory, second, OTHERS).stat().st_size + 1
    shutil.rmtree(directory / first.name)
    assert [] == problems(directory)
    assert states(data) == states(restored(directory, tmp_path / "elsewhere"))


def test_where_there_are_no_links_files_are_copied(data, directory, monkeypatch):
    def refused(*_):
        raise OSError(errno.EPERM, "no links here")

    first = backed_up(data, directory)
    monkeypatch.setattr(backup_directory.os, "link", refused)
    second = backed_up(data, directory)
    assert store_of(directory, first).read_bytes() == store_of(directory, second).read_bytes()
    assert [] == problems(directory)


def test_so_many_backups_are_kept(data, directory):
    names = [backed_up(data, directory).name for _ in range(3)]
    made = backed_up(data, directory, keep=2)
    assert names[:2] == made.deleted
    assert [names[2], made.name] == BackupDirectory(directory).names()
    assert [] == problems(directory)
    assert sorted([".lock", names[2], made.name]) == sorted(path.name for path in directory.iterdir())


def test_a_clock_that_was_set_back_makes_later_backups_no_earlier_ones(data, directory):
    made = backed_up(data, directory)
    future = directory / "29991231T235959.999Z"
    (directory / made.name).rename(future)
    made = backed_up(data, directory, keep=1)
    assert ("30000101T000000.000Z", [future.name]) == (made.name, made.deleted)


# --- what changes meanwhile -------------------------------------------------------------------------------------------


class Busy:
    """A catalog that changes between the first look at it and the second."""

    def __init__(self, catalog, change) -> None:
        self._catalog, self._change, self._looks = catalog, change, 0

    def __getattr__(self, name):
        return getattr(self._catalog, name)

    def streamed(self):
        self._looks += 1
        if self._looks == 2:
            self._change(self._catalog)
        return self._catalog.streamed()


def dropped(catalog):
    drop(catalog, OTHERS, A, 2, X)
    drop(catalog, OTHERS, A, 5, ViewId("y"))  # a store takes one decision over that it lacks, and no more


def adopted(catalog, tmp_path):
    (corrected,) = deploy(tmp_path / "corrected", CORRECTED)
    adopt(catalog, corrected)


def rebuilt(catalog, both):
    begun(catalog, both[1], catalog.require(TALLY), AuditRecord("rebuild", TALLY, ALICE))


def forgotten(catalog, both):
    build = begun(catalog, both[1], catalog.require(TALLY), AuditRecord("rebuild", TALLY, ALICE))
    catalog.forget(build, AuditRecord("delete build", TALLY, ALICE))


@pytest.mark.parametrize("what", ["dropped", "adopted", "rebuilt", "forgotten"])
def test_what_operators_do_meanwhile_is_in_it_whole(data, directory, tmp_path, both, what):
    def change(catalog):
        match what:
            case "dropped":
                dropped(catalog)
            case "adopted":
                adopted(catalog, tmp_path)
            case "rebuilt":
                rebuilt(catalog, both)
            case _:
                forgotten(catalog, both)

    with Catalog.open(data) as catalog:
        back_up(Busy(catalog, change), BackupDirectory(directory))
    assert [] == problems(directory)
    assert states(data) == states(restored(directory, tmp_path / "elsewhere"))


def test_a_build_that_takes_over_meanwhile_is_in_it_as_it_was_when_it_did(data, directory, tmp_path, both, log):
    with Catalog.open(data) as catalog:
        build = begun(catalog, both[1], catalog.require(TALLY), AuditRecord("rebuild", TALLY, ALICE))
        deployed = deployed_by(build)
        with open_store(build, deployed) as store:
            feed(Lane(deployed, store), log.messages[:1])  # far behind the one that answers

        def take_over(catalog):
            with open_store(build, deployed) as store:
                feed(Lane(deployed, store), log.messages[1:])
            catalog.serve(build)

        back_up(Busy(catalog, take_over), BackupDirectory(directory))
    elsewhere = restored(directory, tmp_path / "elsewhere")
    assert states(data) == states(elsewhere)
    with CatalogReader.open(elsewhere) as catalog:
        assert (build.number, None) == (catalog.serving_number(TALLY), catalog.candidate(TALLY))


# --- damage -----------------------------------------------------------------------------------------------------------


def flip(path: Path, dice: Random) -> str:
    """Change a bit of a file, which may be linked from elsewhere."""
    content = bytearray(path.read_bytes())
    bit = dice.randrange(8 * len(content))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    return f"bit {bit} of {path.name}"


def test_a_bit_flipped_anywhere_is_found_and_not_restored(data, directory, tmp_path):
    seed = randbits(32)
    print(f"seed {seed}")
    dice = Random(seed)
    made = backed_up(data, directory)
    folder = directory / made.name
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {"data.mdb", "backup.json", "SHA256SUMS"} == {path.name for path in files}
    for number in range(FLIPS):
        path = dice.choice(files)
        sound = path.read_bytes()
        what = flip(path, dice)
        assert problems(directory), what
        elsewhere = tmp_path / f"elsewhere-{number}"
        with pytest.raises(ProjectionError):
            restored(directory, elsewhere)
        assert not (elsewhere / "catalog").exists(), what
        path.write_bytes(sound)
    assert [] == problems(directory)


@pytest.mark.parametrize("name", ["SHA256SUMS", "backup.json", "catalog/data.mdb", "tallies/1/0/data.mdb"])
def test_a_file_that_is_missing_or_one_too_many_is_found(data, directory, tmp_path, name):
    made = backed_up(data, directory)
    path = directory / made.name / name
    sound = path.read_bytes()
    path.unlink()
    assert problems(directory)
    with pytest.raises(ProjectionError):
        restored(directory / made.name if name != "SHA256SUMS" else directory, tmp_path / "elsewhere")
    path.write_bytes(sound)
    (path.parent / "stray").write_text("x")
    assert ["stray is not in SHA256SUMS"] == [one.rpartition("/")[2] for one in problems(directory)]
    with pytest.raises(ProjectionError):
        restored(directory, tmp_path / "elsewhere")


def test_a_damaged_backup_is_told_and_not_taken_over_into_the_next(data, directory):
    first = backed_up(data, directory)
    flip(store_of(directory, first), Random(1))
    second = backed_up(data, directory)
    assert ([first.name], []) == (
        second.damaged,
        verify_backup(BackupDirectory(directory), second.name).problems,
    )
    flip(directory / second.name / "backup.json", Random(1))
    (directory / first.name / "SHA256SUMS").unlink()
    third = backed_up(data, directory)
    assert ([first.name, second.name], third.bytes) == (
        third.damaged,
        third.copied + len_of_sums(directory, third),
    )


# --- what is refused --------------------------------------------------------------------------------------------------


def test_a_directory_of_something_else_is_refused_and_left_alone(data, directory, tmp_path):
    directory.mkdir()
    (directory / "holiday.jpg").write_text("x")
    with pytest.raises(ConfigurationError, match=r"it contains 'holiday\.jpg'") as refused:
        backed_up(data, directory)
    assert "name an empty directory" in refused.value.hint
    assert ["holiday.jpg"] == [path.name for path in directory.iterdir()]
    (directory / "holiday.jpg").rename(tmp_path / "file")
    with pytest.raises(StorageError, match="cannot be written"):
        backed_up(data, tmp_path / "file")


def test_the_backups_of_another_folder_are_left_alone(data, directory, tmp_path, both, log):
    made = backed_up(data, directory)
    other = tmp_path / "other"
    fold_on(other, both, log.messages)
    with pytest.raises(ConfigurationError, match="has the backups of another data folder"):
        backed_up(other, directory, keep=1)
    assert [made.name] == BackupDirectory(directory).names()


def test_a_directory_within_the_data_folder_is_refused(data, tmp_path):
    with pytest.raises(ConfigurationError, match="is in the data folder"):
        outside(data, data / "backups")
    assert tmp_path / "backups" == outside(data, tmp_path / "backups")


def test_one_backup_is_written_at_a_time(data, directory):
    with BackupDirectory(directory).taken(), pytest.raises(StorageError, match="another backup is being written"):
        backed_up(data, directory)


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, "storage.full"), (errno.EACCES, "storage.read_only")])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_disk_that_refuses_is_told_and_former_backups_stay(
    data, directory, both, log, monkeypatch, number, code, after
):
    made = backed_up(data, directory)
    fold_on(data, both[1:], log.messages[4:])
    monkeypatch.setattr(backup_directory, "_UNWRITTEN", 4096)  # so that some of a file is refused while more is written
    synced = 0

    def refused(descriptor):
        nonlocal synced
        synced += 1
        if synced > after:
            raise OSError(number, "refused")

    with monkeypatch.context() as patch:
        patch.setattr(backup_directory.os, "fsync", refused)
        with pytest.raises(StorageError) as raised:
            backed_up(data, directory)
    assert code == raised.value.code
    assert [".lock", made.name] == sorted(path.name for path in directory.iterdir()), "its room is given back"
    assert [] == problems(directory)
    assert [] == backed_up(data, directory).damaged


def test_a_store_that_is_just_being_made_is_waited_for(data, directory, tmp_path, monkeypatch):
    store = data / "others" / "1" / "0" / "data.mdb"
    sound = store.read_bytes()
    store.write_bytes(b"")
    monkeypatch.setattr(backup, "sleep", lambda _: store.write_bytes(sound))
    backed_up(data, directory)
    assert states(data) == states(restored(directory, tmp_path / "elsewhere"))


def test_a_damaged_store_is_named_and_not_backed_up(data, directory):
    store = data / "others" / "1" / "0" / "data.mdb"
    store.write_bytes(store.read_bytes()[:4096])
    with pytest.raises(StorageError, match="build 1 of view type others cannot be backed up") as refused:
        backed_up(data, directory)
    assert "rebuild view type others" in refused.value.hint
    assert [] == BackupDirectory(directory).names()


# --- what is killed ---------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Nothing is done after it."""


@pytest.fixture
def killed(monkeypatch):
    """Ends the process, as it were, at the n-th call of a function."""

    def at(module, name, calls):
        real, made = getattr(module, name), 0

        def called(*arguments, **more):
            nonlocal made
            made += 1
            if made > calls:
                raise Killed
            return real(*arguments, **more)

        monkeypatch.setattr(module, name, called)
        for one in (backup_directory, restoring):
            monkeypatch.setattr(one.shutil, "rmtree", lambda *_, **__: None)

    return at


@pytest.mark.parametrize("calls", range(8))
def test_a_backup_that_was_killed_is_none_and_the_next_one_is_whole(
    data, directory, both, log, monkeypatch, killed, calls
):
    first = backed_up(data, directory)
    fold_on(data, both[1:], log.messages[4:])
    killed(backup_directory.os, "fsync", calls)
    with pytest.raises(Killed):
        backed_up(data, directory, keep=1)
    monkeypatch.undo()
    assert [first.name] == BackupDirectory(directory).names()
    assert [] == problems(directory)
    second = backed_up(data, directory, keep=1)
    assert sorted([".lock", second.name]) == sorted(path.name for path in directory.iterdir())
    assert [] == problems(directory)


def test_what_was_half_written_or_half_deleted_is_none_and_goes_with_the_next_one(data, directory):
    made = backed_up(data, directory)
    for left in (f"20260101T000000.000Z{suffix}" for suffix in (".partial", ".deleted")):
        shutil.copytree(directory / made.name, directory / left)
    assert [made.name] == BackupDirectory(directory).names()
    again = backed_up(data, directory)
    assert sorted([".lock", made.name, again.name]) == sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("calls", range(3))
@pytest.mark.parametrize("function", ["write_file", "sync_folder", "renew"])
def test_a_restore_that_was_killed_is_no_folder_and_the_same_again_makes_one(
    data, directory, tmp_path, monkeypatch, killed, function, calls
):
    if function == "renew" and calls:
        return
    backed_up(data, directory)
    elsewhere = tmp_path / "elsewhere"
    killed(restoring, function, calls)
    with pytest.raises(Killed):
        restored(directory, elsewhere)
    monkeypatch.undo()
    for open_ in (Catalog.open, CatalogReader.open):
        with pytest.raises(StorageError, match="did not come to its end") as refused:
            open_(elsewhere)
        assert "projection restore" in refused.value.hint
    assert states(data) == states(restored(directory, elsewhere))


def test_a_restore_that_was_killed_among_its_last_steps_is_done_again(data, directory, tmp_path):
    backed_up(data, directory)
    elsewhere = restored(directory, tmp_path / "elsewhere")
    partial = elsewhere / "restore.partial"
    partial.mkdir()
    (elsewhere / "catalog").rename(partial / "catalog")
    with pytest.raises(StorageError, match="did not come to its end"):
        CatalogReader.open(elsewhere)
    assert states(data) == states(restored(directory, elsewhere))


# --- what is not restored ---------------------------------------------------------------------------------------------


def test_a_restore_overwrites_nothing(data, directory, tmp_path):
    backed_up(data, directory)
    before = states(data)
    with pytest.raises(ConfigurationError, match="is not empty"):
        restored(directory, data)
    assert before == states(data)
    empty = tmp_path / "empty"
    (empty / "lost+found").mkdir(parents=True)
    assert before == states(restored(directory, empty))


def test_another_program_is_refused_with_a_word(data, directory, tmp_path, both):
    backed_up(data, directory)
    corrected = deploy(tmp_path / "corrected", {**PROGRAMS, "tallies": CORRECTED})
    with pytest.raises(ConfigurationError, match=r"folds view type tallies differently than backup .*: the program"):
        restored(directory, tmp_path / "elsewhere", deployed=corrected)
    assert [] == list((tmp_path / "elsewhere").iterdir())
    assert states(data) == states(restored(directory, tmp_path / "elsewhere", deployed=both))


def test_what_another_version_wrote_is_refused_with_a_word(data, directory, tmp_path, monkeypatch):
    backed_up(data, directory)
    monkeypatch.setattr(restoring, "FORMAT_VERSION", 4)
    with pytest.raises(ConfigurationError, match="in store format 3, and this version reads 4"):
        restored(directory, tmp_path / "elsewhere")


def test_a_log_that_is_another_is_refused_before_anything_is_taken_for_a_folder(data, directory, tmp_path):
    backed_up(data, directory)
    asked = []

    def refuse(positions):
        asked.extend(positions)
        raise ConfigurationError("another log")

    with pytest.raises(ConfigurationError, match="another log"):
        restored(directory, tmp_path / "elsewhere", accept=refuse)
    assert [] == list((tmp_path / "elsewhere").iterdir())
    assert [] == asked, "these folders have read no stream"


# --- builds that begin with a backup ----------------------------------------------------------------------------------


def refill(data, directory):
    with Catalog.open(data) as catalog:
        return refilled(catalog, catalog.require(TALLY), BackupSource(str(directory)))


def test_a_build_that_begins_with_a_backup_holds_what_that_has_with_its_decisions(data, directory):
    backed_up(data, directory)
    made = refill(data, directory)
    assert 2 == made.number
    with LmdbViewReader.open(made.lane_path()) as reader, LmdbViewReader.open(data / TALLY / "1" / "0") as former:
        assert contents(former) == contents(reader)
        assert former.fold_identity() == reader.fold_identity() == made.fold_identity


def test_what_does_not_fit_begins_no_build_and_leaves_nothing(data, directory, tmp_path, both, log):
    def refusal():
        before = {path.name for path in (data / TALLY).iterdir()}
        with pytest.raises(ProjectionError) as refused:
            refill(data, directory)
        assert before == {path.name for path in (data / TALLY).iterdir()}
        return refused.value.message

    assert "there is no backup at" in refusal()
    made = backed_up(data, directory)
    store = store_of(directory, made)
    sound = store.read_bytes()
    flip(store, Random(1))
    assert "has changed since it was written" in refusal()
    store.write_bytes(sound)
    fold_on(data, both[1:], log.messages[4:])
    with Catalog.open(data) as catalog:
        drop(catalog, TALLY, A, 5, ViewId("y"), author=ALICE)
    refill(data, directory)  # a later decision is taken over
    backed_up(data, directory)
    with Catalog.open(data) as catalog:
        adopted(catalog, tmp_path)
    assert "is folded as build" in refusal()
    assert "the program changed since" in refusal()
