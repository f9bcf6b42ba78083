"""Backups in a JetStream object store: the same as in a directory."""

from __future__ import annotations

import hashlib
from random import Random
from secrets import randbits

import pytest
from backup_support import ALICE, PROGRAMS, some_log, states
from build_support import fold_on
from engine_support import deploy

from projection.engine.backup import back_up
from projection.engine.backup_bucket import BackupBucket
from projection.engine.restoring import restore, verify_backup
from projection.errors import ConfigurationError, ProjectionError, StorageError, StreamError
from projection.store.catalog import Catalog
from projection.stream import objects
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.objects import ObjectStore


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return deploy(tmp_path_factory.mktemp("both"), PROGRAMS)


@pytest.fixture
def data(tmp_path, both):
    fold_on(tmp_path / "data", both, some_log().messages)
    return tmp_path / "data"


@pytest.fixture
def bucket(nats_server, stream_name):
    with BackupBucket(NatsConnection(nats_server.url), stream_name) as opened:
        yield opened


def backed_up(data, bucket, **more):
    with Catalog.open(data) as catalog:
        return back_up(catalog, bucket, **more)


def restored(bucket, name, data):
    restore(bucket, name, data, ALICE)
    return states(data)


def objects_in(bucket):
    return bucket.run(bucket.objects.names())


def test_what_is_restored_is_what_was_backed_up_and_what_did_not_change_is_not_sent_again(
    data, bucket, tmp_path, both, monkeypatch
):
    monkeypatch.setattr(objects, "_PIECE", 1_000)  # so that a store has many pieces, of which some are under way
    assert [] == bucket.names()
    first = backed_up(data, bucket)
    log = some_log()
    fold_on(data, both[:1], log.add(log.messages[0].data).messages[-1:])
    second = backed_up(data, bucket)
    assert [first.name, second.name] == bucket.names()
    assert second.copied < first.copied
    for made in (first, second):
        assert (made.bytes, []) == ((found := verify_backup(bucket, made.name)).bytes, found.problems)
    third = backed_up(data, bucket, keep=1)
    assert ([first.name, second.name], [third.name]) == (third.deleted, bucket.names())
    assert {name.partition("/")[0] for name in objects_in(bucket)} <= {first.name, second.name, third.name}
    assert len(objects_in(bucket)) == len(bucket.files(third.name)) + 1, "what no backup has is gone"
    assert states(data) == restored(bucket, third.name, tmp_path / "elsewhere")


def test_a_backup_that_broke_off_is_none_and_its_objects_go(data, bucket, monkeypatch):
    first = backed_up(data, bucket)
    sound, count = objects_in(bucket), 0
    real = ObjectStore._send

    async def send(self, subject, piece):
        nonlocal count
        count += 1
        if count > 4:
            raise StreamError("the connection was lost")
        return await real(self, subject, piece)

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "_send", send)
        with pytest.raises(StorageError, match="the connection was lost"):
            backed_up(data, bucket)
    assert [first.name] == bucket.names()
    with bucket.taken():
        assert sound == objects_in(bucket)


def flip(bucket, place, dice):
    """Change a bit of an object behind the back of the store."""

    async def change():
        store = bucket.objects
        content = bytearray(b"".join([piece async for piece in store.get(place)]))
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        found = await store.info(place)
        await store._purge(f"$O.{store.bucket}.C.{found.nuid}")
        for at in range(0, len(content), objects._PIECE):
            await store._send(f"$O.{store.bucket}.C.{found.nuid}", bytes(content[at : at + objects._PIECE]))

    bucket.run(change())


def test_a_bit_flipped_anywhere_is_found_and_not_restored(data, bucket, tmp_path):
    seed = randbits(32)
    print(f"seed {seed}")
    dice = Random(seed)
    made = backed_up(data, bucket)
    for number, place in enumerate(objects_in(bucket)):
        again = backed_up(data, bucket)
        place = place.replace(made.name, again.name)  # noqa: PLW2901 - of a backup of its own, where it has one
        if place not in objects_in(bucket):
            continue
        flip(bucket, place, dice)
        found = None
        with pytest.raises(ProjectionError):
            restore(bucket, again.name, tmp_path / f"elsewhere-{number}", ALICE)
        try:
            found = verify_backup(bucket, again.name).problems
        except ProjectionError as error:
            found = [error.message]
        assert found, place
        bucket.delete(again.name)


def test_a_bucket_of_something_else_is_refused_and_left_alone(data, bucket):
    bucket.run(bucket.objects.make())
    bucket.run(bucket.objects.put("holiday.jpg", [b"x"]))
    with pytest.raises(ConfigurationError, match=r"it contains 'holiday\.jpg'"):
        backed_up(data, bucket)
    assert ["holiday.jpg"] == objects_in(bucket)


async def test_other_clients_read_what_is_written_and_write_what_is_read(nats_server, stream_name):
    import nats

    client = await nats.connect(nats_server.url)
    content = bytes(range(256)) * 2_000
    async with await Nats.connect(NatsConnection(nats_server.url)) as connection:
        store = ObjectStore(connection, stream_name)
        await store.make()
        await store.make()
        theirs = await client.jetstream().object_store(stream_name)
        await store.put("ours/a", [content[:7], content[7:]])
        assert content == (await theirs.get("ours/a")).data
        await theirs.put("theirs", content)
        assert content == b"".join([piece async for piece in store.get("theirs")])
        found = await store.info("theirs")
        assert (len(content), hashlib.sha256(content).hexdigest()) == (found.size, found.sha256)
        assert ["ours/a", "theirs"] == await store.names()
        await theirs.delete("theirs")
        await store.delete("ours/a")
        await store.delete("ours/a")
        assert [] == await store.names()
        with pytest.raises(StreamError, match="there is no theirs in bucket"):
            await anext(store.get("theirs"))
        await store.put("empty", [])
        assert [] == [piece async for piece in store.get("empty")]
    await client.close()
