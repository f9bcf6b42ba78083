"""What is folded while things go wrong: view types that park, skip, fan out and erase, and a log for all of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from engine_support import TALLIES, TENANCY, TOO_MUCH, added, broken, deploy, envelope, erased, shared
from node_support import SHOP

from projection.engine.replay import Replay
from projection.model.ids import TenantId
from projection.model.keys import CheckpointKey
from projection.model.subjects import SubjectTemplate
from projection.stream.port import Message
from projection.stream.recorded import recorded_line
from projection.testing.shop import DEFAULT_TENANTS, shop_lines

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from projection.engine.deployment import DeployedView
    from projection.model.checkpoint import Checkpoint
    from projection.model.ids import ViewType
    from projection.model.keys import ViewKey
    from projection.model.parked import ParkedEvent
    from projection.store.port import ViewReader

STREAM = "crash"
TEMPLATE = SubjectTemplate.parse(f"{STREAM}.<tenant>.aggregate.<type>.<id>")
LATE = 100  # where one begins; a node refuses to start before the log has come so far
VOUCHERS = """\
proj 1
projection vouchers

event VoucherShared { from_customer: string(64), amount: decimal(2) }

view Giver { times: int = 0, amount: decimal(2) = 0.00 }

on VoucherShared as e to e.from_customer =>
  let giver = view ?? {};
  giver with { times += 1, amount += e.amount }
"""
HALTING = "tallies_halting"
PROGRAMS = {**SHOP, "tallies": TALLIES, "tallies_skipping": TALLIES, "tallies_late": TALLIES, "vouchers": VOUCHERS}
ENTRIES: dict[str, dict[str, Any]] = {
    "tallies": {"changes": True},
    "tallies_skipping": {"on_error": "skip"},
    HALTING: {"on_error": "halt"},
    "tallies_late": {"start": {"sequence": LATE}},
    "vouchers": {"subjects": [f"{STREAM}.*.aggregate.voucher.*"]},  # most of the log is none of its
}
TENANTS = ("a", "b", "ab", *DEFAULT_TENANTS)
_IDS = tuple(f"id{number}" for number in range(12))  # few: queues of parked events grow long, and are erased
_UNREADABLE = (b"no JSON", b'{"half":', b"\xff\xfe", b'{"tenant_id":"a"}')


def deploy_all(folder: Path, *, halting: bool = False) -> tuple[DeployedView, ...]:
    """All view types, and one that halts where others park, if asked for; written into the folder."""
    programs = {**PROGRAMS, HALTING: TALLIES} if halting else PROGRAMS
    return deploy(folder, programs, template=str(TEMPLATE), entries=ENTRIES)


def make_log(dice: random.Random, count: int) -> list[bytes]:
    """Events of a shop, tallies in between that fail, park, overflow and erase, and some that came twice."""
    shop = shop_lines(count, dice.randrange(1_000), faults=count // 200)
    log: list[bytes] = []
    while len(log) < count:
        roll = dice.random()
        if roll < 0.03 and log:
            log.append(dice.choice(log[-500:]))  # published again: for the log it is another event
        else:
            log.append(next(shop) if roll < 0.6 else _tally(dice))
    return log


def _tally(dice: random.Random) -> bytes:
    ids = dice.sample(_IDS, dice.randrange(2, 5))
    tenant = dice.choice(TENANTS)
    match dice.choices(
        ("add", "share", "break", "overflow", "erase", "misfit", "unreadable"), (60, 20, 4, 2, 10, 3, 1)
    )[0]:
        case "add":
            return added(ids[0], dice.randrange(100), tenant)
        case "share":
            return shared(*ids, n=dice.randrange(100), tenant=tenant)
        case "break":
            return broken(*ids, tenant=tenant)
        case "overflow":
            return added(ids[0], TOO_MUCH, tenant)
        case "erase":
            return erased(*ids[: dice.randrange(1, len(ids))], tenant=tenant)
        case "misfit":
            return envelope("Added", {"id": ids[0], "n": "many"}, tenant)
        case _:
            return dice.choice(_UNREADABLE)


def subject_of(data: bytes) -> str:
    """Where an event is published; what has no place of its own goes where a replay takes it to come from."""
    try:
        event = json.loads(data)
        return TEMPLATE.subject(event["tenant_id"], event["aggregate_type"], event["aggregate_id"])
    except (ValueError, KeyError):
        return TEMPLATE.subject("", "unreadable", "unreadable")


def as_stored(log: Sequence[bytes], sequences: Sequence[int]) -> Sequence[bytes]:
    """The first events of a log, for a replay, under the sequences that a stream gave them."""
    if not sequences or sequences[-1] == len(sequences):
        return log[: len(sequences)]
    messages = (Message(sequence, subject_of(data), data, "0") for sequence, data in zip(sequences, log, strict=False))
    return [recorded_line(message) for message in messages]


class Told(NamedTuple):
    """All that a store tells of its view type, but for what depends on the stream and the node."""

    scanned: int
    applied: int
    digest: str
    count: int
    views: list[tuple[ViewKey, bytes]]
    parked: list[ParkedEvent]
    checkpoints: list[Checkpoint | None]


def told(store: ViewReader, view_type: ViewType) -> Told:
    position = store.position()
    checkpoints = [store.get_checkpoint(CheckpointKey(TenantId(tenant), view_type)) for tenant in TENANTS]
    return Told(
        position.scanned,
        position.applied,
        str(store.digest()),
        store.count_views(),
        list(store.scan(None, view_type)),
        list(store.parked()),
        checkpoints,
    )


def replayed(deployed: Sequence[DeployedView], log: Iterable[bytes]) -> dict[ViewType, Told]:
    """What a fold without a server, a disk or a crash makes of the same events."""
    replay = Replay(deployed, TENANCY)
    replay.run(log)
    return {lane.view_type: told(lane.store, lane.view_type) for lane in replay.lanes}
