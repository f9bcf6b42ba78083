"""The yardsticks: consumers as a good programmer writes them by hand, tuned and plain; above all for `fine_summary`.

The tuned one does what the node does and no more: pipelined pulls, exact amounts, views, index and checkpoint in one
LMDB transaction of 1,000 events, on the disk before it is acknowledged. It leaves out what a node adds: chain check,
schema, gas, parking. Garbage is collected more rarely, as in the node, which makes it 9 % faster. Tried and of no use:
requests of 500 and of 2,000 messages, three of them under way, sorted puts; a commit in a thread makes it slower.

The plain one is what an afternoon's work comes to: `fetch` in a loop, a transaction and an acknowledgement an event.
"""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

import lmdb
import nats
import orjson
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nats.aio.client import Client
    from nats.aio.msg import Msg

COMMIT_EVENTS = 1_000
REQUEST_MESSAGES = 1_000
REQUESTS = 2  # outstanding at the server: the next is out before the last is consumed
COLLECT_EVERY = 100_000  # container objects made, as in the node
FETCH_MESSAGES = 100  # of the plain one
MAP_SIZE = 8 << 30
CONSUMER = "handwritten"
CHECKPOINT = b"checkpoint"
VIEWS = b"view:"

ZERO = Decimal(0)

View = dict[str, Any]
Event = dict[str, Any]


class Result(NamedTuple):
    """What one run came to."""

    events: int
    views: int
    seconds: float  # from the first request to the last acknowledgement


class Fold(NamedTuple):
    """What a consumer makes of events."""

    key: Callable[[Event], str | None]  # of the view that an event belongs to; None of an event that it does not take
    apply: Callable[[View | None, Event], View | None]
    decode: Callable[[bytes], View]
    entry: Callable[[str, View], bytes] | None = None  # of the view type's index, for a view and its key


# --- the fold of fines: what projections/fines/fine_summary.proj says, as Python over plain dicts ------------------


def money(number: float) -> Decimal:
    """The amount that a JSON number was written as: orjson reads a float, whose shortest text is what was written."""
    return Decimal(str(number))


def settle(view: View, day: str) -> View:
    """The view with its balance, and its status where that settles it."""
    view["balance"] = balance = view["amount"] + view["expense"] + view["penalty"] - view["paid"]
    if balance <= 0:
        view["status"] = "paid"
    view["updated_on"] = day
    return view


def key_of(event: Event) -> str:
    """The key of the fine that an event belongs to."""
    return f"view:{event['tenant_id']}:fine_summary:{event['payload']['fine_id']}"


def apply(view: View | None, event: Event) -> View | None:
    """The view after one event; the view itself is changed. None where the event leads to no view."""
    kind, payload, day = event["event_type"], event["payload"], event["timestamp"][:10]
    if kind == "CreateFine":
        amount = money(payload["amount"])
        return {
            "amount": amount,
            "article": payload["article"],
            "balance": amount,
            "expense": ZERO,
            "paid": ZERO,
            "payments": [],
            "penalty": ZERO,
            "status": "created",
            "updated_on": day,
            "vehicle": payload["vehicle_class"],
        }
    if view is None:
        return None
    if kind == "SendFine":
        view["status"] = "sent"
        view["expense"] += money(payload["expense"])
    elif kind == "AddPenalty":
        view["status"] = "penalised"
        view["penalty"] = money(payload["amount"]) - view["amount"]
    elif kind == "Payment":
        amount = money(payload["amount_paid"])
        view["status"] = "part_paid"
        view["paid"] += amount
        view["payments"].append({"amount": amount, "on": day})
    elif kind in ("InsertDateAppealToPrefecture", "AppealToJudge"):
        view["status"] = "appealed"
    elif kind == "SendForCreditCollection":
        view["status"] = "in_collection"
    else:
        return view
    return settle(view, day)


def decode(data: bytes) -> View:
    """A fine of its JSON, as `encode` makes it."""
    view: View = orjson.loads(data)
    for name in ("amount", "balance", "expense", "paid", "penalty"):
        view[name] = money(view[name])
    for payment in view["payments"]:
        payment["amount"] = money(payment["amount"])
    return view


def entry(key: str, view: View) -> bytes:
    """By status, then by balance, the highest first, then by fine: what `index by status, balance desc` says."""
    _, tenant, _, fine = key.split(":")
    return f"index:{tenant}:{view['status']}:{10**15 - int(view['balance'] * 100):016}:{fine}".encode()


FINES = Fold(key_of, apply, decode, entry)


# --- the store ------------------------------------------------------------------------------------------------------


def encode(view: View) -> bytes:
    """The view's JSON; orjson writes no decimals, and a float is exact enough for amounts of this size."""
    return orjson.dumps(view, default=float)


def commit(store: lmdb.Environment, messages: list[Msg], checkpoint: int, fold: Fold = FINES) -> int:
    """Fold the messages and write all that they change in one transaction; the new checkpoint."""
    key_of, apply, decode, entry = fold
    views: dict[bytes, View | None] = {}
    entries: dict[bytes, bytes] = {}  # of views as they are stored
    with store.begin(write=True) as transaction:
        for message in messages:
            sequence = int(message.reply.split(".", 6)[5])
            if sequence <= checkpoint:
                continue
            checkpoint = sequence
            event = orjson.loads(message.data)
            if (name := key_of(event)) is None:
                continue
            key = name.encode()
            if key in views:
                view = views[key]
            else:
                data = transaction.get(key)
                view = None if data is None else decode(data)
                if view is not None and entry is not None:
                    entries[key] = entry(name, view)
            views[key] = apply(view, event)
        for key, view in views.items():
            if view is not None:
                transaction.put(key, encode(view))
                if entry is not None and (found := entry(key.decode(), view)) != (before := entries.get(key)):
                    if before is not None:
                        transaction.delete(before)
                    transaction.put(found, key.rpartition(b":")[2])
        transaction.put(CHECKPOINT, b"%d" % checkpoint)
    return checkpoint


def read_views(path: Path, fold: Fold = FINES) -> dict[tuple[str, str], View]:
    """All views of a store, by tenant and view id."""
    found = {}
    with lmdb.open(str(path), readonly=True, map_size=MAP_SIZE) as store, store.begin() as transaction:
        for key, data in transaction.cursor():
            if key.startswith(VIEWS):
                _, tenant, _, view_id = key.decode().split(":")
                found[tenant, view_id] = fold.decode(data)
    return found


# --- the consumers --------------------------------------------------------------------------------------------------


async def consume(
    url: str,
    stream: str,
    path: Path,
    until_sequence: int,
    *,
    fold: Fold = FINES,
    linger_s: float | None = None,
    committed: Callable[[int], None] = lambda _sequence: None,
) -> Result:
    """Fold the stream into a store at `path` up to this sequence, beginning behind the store's checkpoint; tuned.

    Args:
        url: of the NATS server.
        stream: whose messages are envelopes.
        path: the store's directory; made where it is missing, in a folder that is there.
        until_sequence: of the last message to wait for; between the checkpoint and it the stream has no gaps.
        fold: what to make of them.
        linger_s: how long to wait for a full batch; None for as long as it takes.
        committed: called after each commit, with the checkpoint.
    """
    gc.set_threshold(COLLECT_EVERY)
    client = await nats.connect(url)
    with lmdb.open(str(path), map_size=MAP_SIZE) as store:
        try:
            return await _consume(client, store, stream, until_sequence, fold, linger_s, committed)
        finally:
            await client.close()


async def _consume(
    client: Client,
    store: lmdb.Environment,
    stream: str,
    until_sequence: int,
    fold: Fold,
    linger_s: float | None,
    committed: Callable[[int], None],
) -> Result:
    first = checkpoint = _checkpoint(store)
    jetstream = client.jetstream()
    config = ConsumerConfig(
        durable_name=CONSUMER,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=checkpoint + 1,
        ack_policy=AckPolicy.ALL,
        ack_wait=3_600,
        max_ack_pending=-1,
    )
    await jetstream.add_consumer(stream, config)
    inbox = client.new_inbox()
    request = orjson.dumps({"batch": REQUEST_MESSAGES, "expires": 30_000_000_000})
    messages: list[Msg] = []
    arrived = asyncio.Event()
    asked = wanted = 0

    async def pull() -> None:
        nonlocal asked
        asked += REQUEST_MESSAGES
        await client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{CONSUMER}", request, reply=inbox)

    async def receive(message: Msg) -> None:
        nonlocal asked
        if message.reply:
            messages.append(message)
            asked -= 1
            if len(messages) == wanted:
                arrived.set()
        else:  # a request expired and says how much of it is left
            asked -= int((message.headers or {}).get("Nats-Pending-Messages", 0))
        if asked <= (REQUESTS - 1) * REQUEST_MESSAGES:
            await pull()

    subscription = await client.subscribe(inbox, cb=receive, pending_msgs_limit=-1, pending_bytes_limit=-1)
    begin = time.perf_counter()
    for _ in range(REQUESTS):
        await pull()
    while checkpoint < until_sequence:
        wanted = min(COMMIT_EVENTS, until_sequence - checkpoint)
        if len(messages) < wanted:
            arrived.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(arrived.wait(), linger_s)
        batch, messages[:] = messages[:wanted], messages[wanted:]
        if batch:
            checkpoint = commit(store, batch, checkpoint, fold)
            committed(checkpoint)
            await client.publish(batch[-1].reply, b"+ACK")
    await client.flush()
    seconds = time.perf_counter() - begin
    await subscription.unsubscribe()
    await jetstream.delete_consumer(stream, CONSUMER)
    return Result(checkpoint - first, _count_views(store), seconds)


async def consume_plainly(url: str, stream: str, path: Path, until_sequence: int) -> Result:
    """The same, untuned: every event is fetched, written and acknowledged as if it were the only one."""
    client = await nats.connect(url)
    with lmdb.open(str(path), map_size=MAP_SIZE) as store:
        try:
            first = checkpoint = _checkpoint(store)
            subscription = await client.jetstream().pull_subscribe("", durable=CONSUMER, stream=stream)
            begin = time.perf_counter()
            while checkpoint < until_sequence:
                for message in await subscription.fetch(min(FETCH_MESSAGES, until_sequence - checkpoint)):
                    checkpoint = commit(store, [message], checkpoint)
                    await message.ack()
            await client.flush()
            seconds = time.perf_counter() - begin
            await client.jetstream().delete_consumer(stream, CONSUMER)
            return Result(checkpoint - first, _count_views(store), seconds)
        finally:
            await client.close()


def _checkpoint(store: lmdb.Environment) -> int:
    with store.begin() as transaction:
        return int(transaction.get(CHECKPOINT, b"0"))


def _count_views(store: lmdb.Environment) -> int:
    with store.begin() as transaction:
        return sum(key.startswith(VIEWS) for key in transaction.cursor().iternext(values=False))
