"""Whether two paths of one `with` lead to the same place: as far as that is known beforehand, and what is left to ask.

Paths of fields and constant keys are known to be the same or not. Computed keys may turn out to be equal; then the
paths are compared by their keys when the program runs, before anything is changed.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from projection.lang import core
from projection.lang.check.places import form

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from projection.lang.source import Span


class Key(NamedTuple):
    """A step of a path into a map: what computes the key where it is put, and what is known of it."""

    core: core.Core
    known: Hashable  # equal for two keys that are equal for certain

    @property
    def is_constant(self) -> bool:
        """Whether it differs for certain from every other constant."""
        return isinstance(self.core, core.Const)


class Path(NamedTuple):
    """Where a change of a `with` is written, and the steps that lead to what it changes."""

    span: Span
    steps: tuple[str | Key, ...]


Keys = tuple[Key, ...]


def known(key: core.Core) -> Hashable:
    """What is known of a key: a constant, a variable, or something computed of these in the same way."""
    match key:
        case core.Const(value=str() | int() | date() | Decimal()):
            return (type(key.value), str(key.value))  # not the value itself: `1.0` and `1.00` make different texts
        case core.Local():
            return ("variable", key.slot)
        case core.Get():
            return (known(key.base), key.field)
        case core.Op():
            return (key.operation.name, key.operation.signature, *map(known, key.operands))
        case _:
            return id(key)


class Overlaps:
    """Find paths that overlap: `certain` holds each path that is known to meet an earlier one."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.certain: list[Path] = []
        self._asked: list[tuple[Span, list[Keys], list[Keys]]] = []
        self._look(paths, 0, ())

    def tests(self) -> Iterable[core.Core]:
        """Computations that fail where keys turn out to be equal."""
        for span, ends, through in self._asked:
            yield form("apart", span, _listed(span, ends), _listed(span, through))

    def _look(self, paths: Sequence[Path], depth: int, open_: tuple[int, ...]) -> None:
        """Paths whose first steps are the same, but for the keys at the `open_` ones, which may be equal."""
        if len(paths) < 2:
            return
        if any(len(path.steps) == depth for path in paths):
            self._compare(paths, depth, open_)
        groups = defaultdict[object, list[Path]](list)
        longer = [path for path in paths if len(path.steps) > depth]
        keys = [step for path in longer if isinstance(step := path.steps[depth], Key)]
        may_meet = not all(key.is_constant for key in keys) and len({key.known for key in keys}) > 1
        for path in longer:
            step = path.steps[depth]
            groups[None if may_meet else step.known if isinstance(step, Key) else step].append(path)
        for group in groups.values():
            self._look(group, depth + 1, (*open_, depth) if may_meet else open_)

    def _compare(self, paths: Sequence[Path], depth: int, open_: tuple[int, ...]) -> None:
        """No other path may lead to, or through, the place where one ends."""
        ends: dict[Hashable, Keys] = {}
        through: dict[Hashable, Keys] = {}
        for path in paths:
            keys = tuple(step for at in open_ if isinstance(step := path.steps[at], Key))
            at = tuple(key.known for key in keys)
            is_end = len(path.steps) == depth
            if at in ends or (is_end and at in through):
                self.certain.append(path)
            (ends if is_end else through)[at] = keys
        if len(ends) + len(through) > 1:
            span = type(paths[0].span)(paths[0].span.start, paths[-1].span.end)
            self._asked.append((span, list(ends.values()), list(through.values())))


def _listed(span: Span, found: Sequence[Keys]) -> core.Core:
    if not found:
        return core.Const(span, [])
    return form("list_of", span, *(_one(span, keys) for keys in found))


def _one(span: Span, keys: Keys) -> core.Core:
    """Several keys as one: pairs in pairs."""
    *others, node = (key.core for key in keys)
    for other in reversed(others):
        node = form("pair", span, other, node)
    return node
