"""How a node is let in: what it signs in with is read anew for each connection, and a file that is none is a sentence."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest
from account_jwts import account_of_tiers
from certificates import Authority
from configured_server import ConfiguredServer, TlsFirstServer
from hypothesis import given
from hypothesis import strategies as st
from patience import eventually
from stream_support import Log, read, sequences

from projection.errors import ConfigurationError, StreamError
from projection.stream.address import NatsConnection
from projection.stream.connection import Nats
from projection.stream.jetstream import JetStream, StreamConfig
from projection.stream.node_name import NodeName
from projection.stream.opening import FeedLimits
from projection.stream.sign_in import Credentials, NKey, _checksum

if TYPE_CHECKING:
    from pathlib import Path

SEED = b"\x07" * 32
JWT = "eyJ0eXAiOiJKV1QifQ.e30.c2ln"


def seed_text(kind: int = 20 << 3, seed: bytes = SEED) -> str:
    """A seed as nkeys writes it; by default a user's."""
    raw = bytes([18 << 3 | kind >> 5, (kind & 31) << 3]) + seed
    return base64.b32encode(raw + _checksum(raw)).rstrip(b"=").decode()


def credentials(jwt: str = JWT, seed: str | None = None) -> str:
    return (
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\nIMPORTANT\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{seed or seed_text()}\n------END USER NKEY SEED------\n"
    )


async def folds(connection: NatsConnection, name: str, **limits: int) -> None:
    """Make a stream, and read it as a node does, under a name that is held."""
    async with await Nats.connect(connection) as nats:
        log = await Log(JetStream(nats), name).create()
        await log.publish(50)
        feed = log.feed(node_name=NodeName(JetStream(nats), name, "me"), limits=FeedLimits(**limits))
        await feed.open()
        assert log.ours == sequences(await read(feed, 50))
        await feed.close()


# --- files that are none ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("{}", "holds no NATS USER JWT: the line `-----BEGIN NATS USER JWT-----`"),
        ("-----BEGIN NATS USER JWT-----\n", "holds no NATS USER JWT"),
        (f"-----BEGIN NATS USER JWT-----\n{JWT}\n", "holds no USER NKEY SEED"),
        (credentials(seed="SUAB"), "contains no valid nkey seed"),
        (credentials(seed=seed_text(0)), "contains an nkey seed that is not a user's; a user's begins with SU"),
    ],
)
def test_a_credentials_file_that_is_none_is_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    """The library looks for the beginning of such a file for ever, and the whole process with it."""
    (tmp_path / "node.creds").write_text(text)
    with pytest.raises(ConfigurationError) as refused:
        Nats.connecting_later(NatsConnection("nats://127.0.0.1", credentials=tmp_path / "node.creds"))
    assert said in str(refused.value)
    assert "node.creds" in str(refused.value)


@given(data=st.one_of(st.binary(max_size=200), st.binary(max_size=40).map(lambda cut: credentials().encode() + cut)))
def test_any_file_is_credentials_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.creds"
    path.write_bytes(data)
    for kind in (Credentials, NKey):
        try:
            assert kind.read(path)
        except ConfigurationError as error:
            assert "any.creds" in error.message  # noqa: PT017 - it may also be one


@given(seed=st.binary(min_size=32, max_size=32))
def test_a_seed_is_read_as_the_library_reads_it(tmp_path_factory: pytest.TempPathFactory, seed: bytes) -> None:
    nkeys = pytest.importorskip("nkeys")
    path = tmp_path_factory.getbasetemp() / "seed"
    path.write_text(seed_text(seed=seed) + "\n")
    theirs = nkeys.from_seed(bytearray(seed_text(seed=seed).encode()))
    ours = NKey.read(path)
    assert theirs.public_key.decode() == ours.public
    assert base64.b64encode(theirs.sign(b"nonce")) == ours.sign("nonce")


# --- a real server ----------------------------------------------------------------------------------------------------


async def test_a_seed_signs_in_and_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "seed"
    path.write_text(seed_text())
    users = [{"nkey": NKey.read(path).public}]
    with ConfiguredServer(tmp_path / "nats", authorization={"users": users}) as server:
        connection = NatsConnection(server.url, nkey_seed=path)
        await folds(connection, "ONE")
        async with await Nats.connect(connection) as nats:
            path.write_text(seed_text(seed=b"\x08" * 32))
            server.more["authorization"] = {"users": [{"nkey": NKey.read(path).public}]}
            server.kill()
            server.start()
            await eventually(lambda: answers(nats))
        path.write_text(seed_text())
        with pytest.raises(StreamError, match=r"refuses? (these|the) credentials"):
            await Nats.connect(connection)


@pytest.mark.parametrize("way", ["user", "token", "credentials"])
async def test_each_way_in_reads_and_another_secret_is_refused(tmp_path: Path, way: str) -> None:
    path, other = tmp_path / "user.creds", tmp_path / "other.creds"
    of_accounts = account_of_tiers(path, "R1")
    account_of_tiers(other, "R1")  # of another operator
    configured, given, wrong = {
        "user": (
            {"authorization": {"user": "node", "password": "hush"}},
            {"user": "node", "password": "hush"},
            {"user": "node", "password": "hash"},
        ),
        "token": ({"authorization": {"token": "hush"}}, {"token": "hush"}, {"token": "hash"}),
        "credentials": (of_accounts, {"credentials": path}, {"credentials": other}),
    }[way]
    with ConfiguredServer(tmp_path / "nats", **configured) as server:
        await folds(NatsConnection(server.url, **given), "WAY")
        with pytest.raises(StreamError, match=r"refuses? (these|the) credentials"):
            await Nats.connect(NatsConnection(server.url, **wrong))


async def answers(nats: Nats) -> bool:
    try:
        return bool(await nats.request("$JS.API.INFO"))
    except StreamError:
        return False


async def test_a_file_that_is_spoilt_under_a_node_is_told_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "seed"
    path.write_text(seed_text())
    users = [{"nkey": NKey.read(path).public}]
    with ConfiguredServer(tmp_path / "nats", authorization={"users": users}) as server:
        async with await Nats.connect(NatsConnection(server.url, nkey_seed=path)) as nats:
            path.write_text("")
            nats._client._transport.close()
            said: list[str] = []

            async def told() -> bool:
                try:
                    await nats.request("$JS.API.INFO")
                except StreamError as error:
                    said.append(error.message)
                return "contains no valid nkey seed" in "".join(said)

            await eventually(told)
            path.write_text(seed_text())
            await eventually(lambda: answers(nats))


async def test_answers_come_to_a_prefix_of_ones_own(tmp_path: Path) -> None:
    permissions = {"subscribe": {"allow": ["MINE.node.>"]}}
    users = [{"user": "node", "password": "x", "permissions": permissions}]
    with ConfiguredServer(tmp_path / "nats", authorization={"users": users}) as server:
        connection = NatsConnection(server.url, user="node", password="x", inbox_prefix="MINE.node")
        await folds(connection, "INBOX")


async def test_the_stream_of_another_domain_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "nats"
    with ConfiguredServer(folder, jetstream={"store_dir": str(folder), "domain": "hub"}) as server:
        await folds(NatsConnection(server.url, api="$JS.hub.API"), "DOMAIN")


async def test_an_account_that_imports_the_api_under_other_subjects_reads(tmp_path: Path) -> None:
    exports = [
        {"service": "$JS.API.>", "response_type": "stream"},
        {"service": "$JS.ACK.>"},
        {"service": "FAR.>"},
    ]
    imports = [
        {"service": {"account": "A", "subject": "$JS.API.>"}, "to": "JS.far.API.>"},
        {"service": {"account": "A", "subject": "$JS.ACK.>"}},
        {"service": {"account": "A", "subject": "FAR.>"}},
    ]
    accounts = {
        "A": {"jetstream": "enabled", "users": [{"user": "a", "password": "x"}], "exports": exports},
        "B": {"users": [{"user": "b", "password": "x"}], "imports": imports},
    }
    with ConfiguredServer(tmp_path / "nats", accounts=accounts) as server:
        await folds(NatsConnection(server.url, user="b", password="x", api="JS.far.API"), "FAR")


async def test_an_account_that_imports_the_api_of_one_stream_reads_that_one(tmp_path: Path) -> None:
    """No more than what docs/operating.md lists for a node is exported, and no other stream is reached."""
    calls = ("STREAM.INFO", "STREAM.MSG.GET"), ("CONSUMER.CREATE", "CONSUMER.INFO", "CONSUMER.DELETE")
    services = [f"{call}.FAR" for call in calls[0]] + [f"{call}.FAR.*" for call in calls[1]]
    exports = [{"service": f"$JS.API.{one}"} for one in services]
    exports += [
        {"service": "$JS.API.CONSUMER.MSG.NEXT.FAR.*", "response_type": "stream"},
        {"service": "$JS.ACK.FAR.>"},
    ]
    imports = [
        {"service": {"account": "A", "subject": f"$JS.API.{one}"}, "to": f"JS.far.API.{one}"}
        for one in (*services, "CONSUMER.MSG.NEXT.FAR.*")
    ]
    imports.append({"service": {"account": "A", "subject": "$JS.ACK.FAR.>"}})
    accounts = {
        "A": {"jetstream": "enabled", "users": [{"user": "a", "password": "x"}], "exports": exports},
        "B": {"users": [{"user": "b", "password": "x"}], "imports": imports},
    }
    with ConfiguredServer(tmp_path / "nats", accounts=accounts) as server:
        async with await Nats.connect(NatsConnection(server.url, user="a", password="x")) as owner:
            log = await Log(JetStream(owner), "FAR").create()
            await log.publish(50)
            await log.publish(5, "theirs")
            await Log(JetStream(owner), "NEAR").create()
        async with await Nats.connect(NatsConnection(server.url, user="b", password="x", api="JS.far.API")) as nats:
            far = JetStream(nats)
            feed = Log(far, "FAR").feed(node_name=NodeName(far, "FAR", "me"))
            await feed.open()
            assert log.ours == sequences(await read(feed, 55))
            await feed.close()
            with pytest.raises(StreamError, match=r"nobody at .* answers requests"):
                await far.stream_info("NEAR")


async def test_consumers_have_as_many_copies_as_the_settings_say(log: Log) -> None:
    feed = log.feed(limits=FeedLimits(replicas=3))
    with pytest.raises(StreamError, match="replicas > 1 not supported in non-clustered mode"):
        await feed.open()
    await feed.close()


async def test_a_consumer_that_is_refused_is_told_in_the_same_words_each_time(log: Log) -> None:
    """Each attempt asks for one of another name; a trouble is logged whenever its words change."""
    feed, said = log.feed(limits=FeedLimits(replicas=3)), set()
    for _ in range(3):
        with pytest.raises(StreamError) as refused:
            await feed.open()
        said.add(refused.value.message)
    await feed.close()
    (message,) = said
    assert f"refuses CONSUMER.CREATE.{log.name}.node_*: replicas > 1 not supported" in message


async def test_consumers_are_forgotten_as_soon_as_the_stream_wants_it(log: Log) -> None:
    """A stream may bound how long a consumer that nobody reads by is kept; a longer time is refused."""
    short = await Log(log.jetstream, f"{log.name}S").create(consumer_limits={"inactive_threshold": 5 * 10**9})
    await short.publish(10)
    feed = short.feed(node_name=NodeName(JetStream(log.nats), short.name, "me"))
    await feed.open()
    assert short.ours == sequences(await read(feed, 10))
    listed = json.loads(await log.nats.request(f"$JS.API.CONSUMER.LIST.{short.name}"))["consumers"]
    assert {5 * 10**9} == {one["config"]["inactive_threshold"] for one in listed}
    assert 7.0 == StreamConfig().inactive_s(7.0)
    await feed.close()


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [False, "auto", True])
async def test_certificates_renewed_in_place_are_read_at_the_next_connect(tmp_path: Path, *, first: bool | str) -> None:
    """Of the server and of the node, by another authority: the files are the same, and what is in them is not."""
    before, after = Authority("before"), Authority("after")
    theirs, ours = before.write(tmp_path, "server"), before.write(tmp_path, "node")
    tls = {**theirs, "verify": True, "handshake_first": first}
    with (TlsFirstServer if first is True else ConfiguredServer)(tmp_path / "nats", tls=tls) as server:
        connection = NatsConnection(
            server.url,
            tls_ca=tmp_path / "node-ca.pem",
            tls_certificate=tmp_path / "node.pem",
            tls_key=tmp_path / "node.key",
            tls_first=bool(first),
        )
        assert ours["ca_file"] == str(connection.tls_ca)
        async with await Nats.connect(connection) as nats:
            assert await answers(nats)
            after.write(tmp_path, "server")
            after.write(tmp_path, "node")
            server.kill()
            server.start()
            await eventually(lambda: answers(nats))
