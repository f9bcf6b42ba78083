"""The order in which types are declared where a name must be known before it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projection.lang import types as ty

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def records_in(records: Iterable[ty.Record]) -> Iterator[ty.Record]:
    """These records and those in them, each once, and behind those that it is made of."""
    known = set[ty.Record]()

    def inside(type_: ty.Type) -> Iterator[ty.Record]:
        match type_:
            case ty.Record() if type_ not in known:
                known.add(type_)
                for field in type_.fields.values():
                    yield from inside(field.type)
                yield type_
            case ty.List() | ty.Set():
                yield from inside(type_.item)
            case ty.Map():
                yield from inside(type_.value)
            case ty.Optional():
                yield from inside(type_.inner)

    for record in records:
        yield from inside(record)
