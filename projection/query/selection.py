"""Selecting: of a view's stored JSON only some fields, without a look at their values."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Optional, TypeAlias

import msgspec

from projection.errors import StorageDamagedError
from projection.lang import types as ty
from projection.lang.steps import tick
from projection.query.errors import QueryInvalidError
from projection.query.form import pointer
from projection.query.paths import Each, Field, Item, Key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from projection.query.form import Steps
    from projection.query.paths import Step
    from projection.query.schema import ViewSchema

Tree: TypeAlias = "dict[Step, Tree | None]"  # what is selected of a value; None: all of it


def selected(schema: ViewSchema, select: Sequence[Steps]) -> Callable[[bytes], bytes]:
    """What leaves of a view's JSON only what these paths lead to, in the order in which the view has it.

    Records, lists of records and maps on the way keep their shape. The view's id comes with every view: as a path it
    adds nothing.

    Raises:
        QueryInvalidError: a path leads nowhere, or to one item of a list, or into json.
    """
    tree: Tree = {}
    for place, written in enumerate(select):
        at = pointer("select", place)
        steps = schema.resolve(written, at).steps
        _require_selectable(steps, schema.record, at)
        _add(tree, steps)
    decoder = msgspec.json.Decoder(_shape(schema.record, tree))
    encode = msgspec.json.Encoder().encode

    def select_from(view: bytes) -> bytes:
        try:
            return encode(decoder.decode(view))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StorageDamagedError(f"a stored view of `{schema.program.name}` cannot be read: {error}") from None

    return select_from


def _require_selectable(steps: Sequence[Step], record: ty.Record, at: str) -> None:
    here: ty.Type = record
    for step in steps:
        if isinstance(here, ty.Json) or isinstance(step, Item):
            what = "a part of json" if isinstance(here, ty.Json) else "one item of a list"
            raise QueryInvalidError(f"{what} cannot be selected", hint="select the whole", pointer=at)
        here = _inside(here, step)


def _inside(type_: ty.Type, step: Step) -> ty.Type:
    """The type of what a step leads to; never optional."""
    match type_, step:
        case ty.Record(), Field():
            found = type_.fields[step.name].type
        case ((ty.List() | ty.Set()), Each()):
            found = type_.item
        case ty.Map(), Key():
            found = type_.value
        case _:
            raise AssertionError(step)
    return found.inner if isinstance(found, ty.Optional) else found


def _add(tree: Tree, steps: Sequence[Step]) -> None:
    for step in steps[:-1]:
        inner = tree.setdefault(step, {})
        if inner is None:  # the whole is selected already
            return
        tree = inner
    if steps:
        tree[steps[-1]] = None


def _shape(type_: ty.Type, tree: Tree | None) -> Any:
    """What msgspec decodes a value by to leave out what is not selected."""
    tick()
    if tree is None:
        return msgspec.Raw
    match type_:
        case ty.Optional():
            return Optional[_shape(type_.inner, tree)]  # noqa: UP045 - built at run time
        case ty.List():
            return list[_shape(type_.item, tree[Each()])]  # type: ignore[misc]
        case ty.Record():
            fields = [type_.fields[name] for name in sorted(step.name for step in tree if isinstance(step, Field))]
            shapes = [(field.name, _shape(field.type, tree[Field(field.name)])) for field in fields]
            return msgspec.defstruct("Selected", shapes, rename={field.name: field.wires[0] for field in fields})
        case ty.Map():
            entries = sorted((_key_text(step.key), inner) for step, inner in tree.items() if isinstance(step, Key))
            names = {f"_{place}": text for place, (text, _inner) in enumerate(entries)}
            parts = [
                (name, _shape(type_.value, inner) | msgspec.UnsetType, msgspec.UNSET)
                for name, (_text, inner) in zip(names, entries, strict=True)
            ]
            return msgspec.defstruct("Selected", parts, rename=names)
        case _:
            raise AssertionError(type_)


def _key_text(key: Any) -> str:
    """A map's key as it stands in JSON."""
    return key.isoformat() if isinstance(key, date) else str(key)
