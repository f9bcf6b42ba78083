"""What the catalog holds: its keys, and builds as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.parked import Drop
from projection.model.promotion import BY_SETTINGS, Gate, HeldBuild
from projection.store.build import Build, Lineage

if TYPE_CHECKING:
    from pathlib import Path

    from projection.store.lmdb_env import Transaction

NODE_ID_KEY = b"node_id"
BUILD = "build:{}:{:010d}"
BUILDS = "build:{}:"
ALL_BUILDS = "build:"
CURSOR_KEY = b"cursor_key"
FOLDER_ID = b"folder_id"
LAST_NUMBER = "last_number:{}"  # outlives its build, so that no number is ever used again
SERVING = "serving:"
CANDIDATE = "candidate:"  # the build that is to replace the serving one
FOLLOWER = "follows:"  # the former build that is folded on, so that one can go back to it
HELD = "held:"
AGE = "age:{}:{:010d}"
PAUSED = "paused:"
DEPLOYED = b"deployed"  # the view types of the manifest that was deployed last
TASK = "task:"  # and a number, so that they are in their order


def put_build(transaction: Transaction, build: Build) -> None:
    """Record a build as it is now."""
    transaction.put(BUILD.format(build.view_type, build.number).encode(), _encoded(build))


def point_to(transaction: Transaction, kind: str, build: Build) -> None:
    """Have the pointer of a kind, of the build's view type, lead to it."""
    transaction.put(kind.encode() + build.view_type.encode(), b"%d" % build.number)


def clear_pointers(transaction: Transaction, build: Build) -> None:
    """A build is no candidate, does not follow, and is not held, whatever it was before."""
    view_type = build.view_type.encode()
    for kind in (CANDIDATE, FOLLOWER):
        if transaction.get(kind.encode() + view_type) == b"%d" % build.number:
            transaction.delete(kind.encode() + view_type)
    held = transaction.get(HELD.encode() + view_type)
    if held is not None and HeldBuild(*json.loads(held)).build == build.number:
        transaction.delete(HELD.encode() + view_type)
    transaction.delete(AGE.format(build.view_type, build.number).encode())


def _encoded(build: Build) -> bytes:
    fields = ("base_identity", "recipe", "drops", "lineage")
    stored = {name: getattr(build, name) for name in fields}
    if build.gate != BY_SETTINGS:
        stored["gate"] = build.gate
    return json.dumps(stored, ensure_ascii=False).encode()


def decoded_build(data: Path, view_type: ViewType, number: int, stored: bytes) -> Build:
    """A build as it was recorded.

    Raises:
        ValueError, KeyError, TypeError: the bytes are no build.
    """
    fields = json.loads(stored)
    return Build(
        data,
        view_type,
        number,
        fields["base_identity"],
        fields["recipe"],
        tuple(
            Drop(sequence, TenantId(tenant_id), None if view_id is None else ViewId(view_id))
            for sequence, tenant_id, view_id in fields["drops"]
        ),
        None if fields["lineage"] is None else Lineage(*fields["lineage"]),
        Gate(*fields.get("gate", ())),
    )
