"""The audit: what operators have done to a data folder, kept in its catalog with the change itself."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from projection.store.ranges import after, entries_below, keys_between

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from projection.store.lmdb_env import Transaction

Door: TypeAlias = Literal["offline", "socket", "http", "node"]

MOST = 10_000  # records; older ones go
_RECORD = "audit:{:012d}"
_RECORDS = b"audit:"


@dataclass(frozen=True, slots=True)
class Author:
    """Who does something, as they call themselves, and through which door."""

    name: str
    door: Door
    reason: str = ""


BY_NODE = Author("the node", "node")  # what follows by a rule that settings or orders have set
BY_PROGRAM = Author("a program", "offline")  # that calls the library and does not say who runs it


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One thing that was done."""

    operation: str
    view_type: str
    author: Author
    details: Mapping[str, Any] = field(default_factory=dict)  # JSON values: what the operation was given and came to
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    number: int = 0  # from 1 on, without a gap; given when it is written

    def as_json(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return asdict(self)


def write_record(transaction: Transaction, record: AuditRecord) -> None:
    """Write a record behind those that are there, in the transaction of what it is about."""
    last = next(keys_between(transaction, _RECORDS, after(_RECORDS), reverse=True), None)
    number = 1 if last is None else int(last[len(_RECORDS) :]) + 1
    stored = {name: value for name, value in record.as_json().items() if name != "number"}
    transaction.put(_RECORD.format(number).encode(), json.dumps(stored, ensure_ascii=False).encode())
    transaction.delete(_RECORD.format(number - MOST).encode())


def records(transaction: Transaction) -> Iterator[AuditRecord]:
    """All records that are kept, the oldest first."""
    for key, stored in entries_below(transaction, _RECORDS):
        fields = json.loads(stored)
        author = Author(**fields.pop("author"))
        yield AuditRecord(author=author, number=int(key[len(_RECORDS) :]), **fields)
