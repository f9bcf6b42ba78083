"""What a program reads of the message that an event came in, beside the event itself.

Most programs read nothing of it, and then nothing of it is taken out or kept. What is read follows from the core alone:
programs of one digest read the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.lang import core
from projection.lang.immutable import Immutable
from projection.lang.types import OF_MESSAGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class MessageParts(Immutable, frozen=True):
    """Headers by their names in small letters, sorted; and whether the subject and the time of storing are read."""

    headers: tuple[str, ...] = ()
    subject: bool = False
    stored_at: bool = False

    @property
    def are_none(self) -> bool:
        """Whether nothing is read."""
        return not (self.headers or self.subject or self.stored_at)

    def lacking(self, headers: Iterable[str], *, stored_at: bool) -> tuple[str, ...]:
        """The parts, as a program names them, that are not among these; every message has its subject."""
        missing = sorted({*self.headers}.difference(headers))
        return (*(f'meta.headers["{name}"]' for name in missing), *["meta.stored_at"] * (self.stored_at > stored_at))


def message_parts(handlers: Iterable[core.Handler], made: Iterable[core.Core]) -> MessageParts:
    """What handlers read of messages, and the functions that make events of old forms; no others see `meta`."""
    parts = [part for one in handlers for part in (one.source, one.route, one.body) if part is not None]
    parts += made
    fields, headers = set[str](), set[str]()
    for node in (node for part in parts for node in _nodes(part)):
        match node:
            case core.Get(field=field):
                fields.add(field)
            case core.Op(operands=(core.Get(field="_headers"), core.Const(value=name))):
                headers.add(name)
    return MessageParts(tuple(sorted(headers)), OF_MESSAGE["subject"] in fields, OF_MESSAGE["stored_at"] in fields)


def _nodes(node: core.Core) -> Iterator[core.Core]:
    waiting = [node]
    while waiting:
        one = waiting.pop()
        yield one
        waiting += core.parts(one)
