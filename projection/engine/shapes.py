"""Whether the views of one program are views to another: those of an adopted build were stored by the former one."""

from __future__ import annotations

from projection.lang import types as ty


def misfit(new: ty.Record, old: ty.Record) -> str | None:
    """What the stored views of one declaration cannot be to another: where, and from which type to which.

    None where the new one takes every value of the old one just as it is stored. Views are read back unchecked, for
    only their own program has written them, so it is the declarations that have to agree.
    """
    return _record_misfit(new, old, set())


def _record_misfit(new: ty.Record, old: ty.Record, known: set[tuple[int, int]]) -> str | None:
    if (id(new), id(old)) in known:  # records can be reached in more ways than there are seconds
        return None
    known.add((id(new), id(old)))
    for name in sorted({*new.fields, *old.fields}):
        if name not in old.fields:
            return f"{name} is new"
        if name not in new.fields:
            return f"{name} is gone"
        was, becomes = old.fields[name].type, new.fields[name].type
        if (inside := _misfit(becomes, was, known)) is not None:
            return f"{name}{inside}" if inside[:1] in ".[" else f"{name} {inside}"
    return None


def _misfit(new: ty.Type, old: ty.Type, known: set[tuple[int, int]]) -> str | None:
    fits = new == old
    match new, old:
        case (ty.Optional(), _):
            return _misfit(new.inner, old.inner if isinstance(old, ty.Optional) else old, known)
        case (ty.Record(), ty.Record()):
            inside = _record_misfit(new, old, known)
            return None if inside is None else f".{inside}"
        case (ty.String(), ty.String()):
            fits = _is_bound(new.max, old.max)
        case (ty.Bytes(), ty.Bytes()):
            fits = _is_bound(new.max, old.max)
        case (ty.Enum(), ty.Enum()):
            fits = new.open or (not old.open and {*old.members} <= {*new.members})
        case (ty.List(), ty.List()):
            return _within(_misfit(new.item, old.item, known)) or _bound_misfit(new, old)
        case (ty.Set(), ty.Set()):
            return _within(_misfit(new.item, old.item, known)) or _bound_misfit(new, old)
        case (ty.Map(), ty.Map()):
            inside = _misfit(new.key, old.key, known) or _misfit(new.value, old.value, known)
            return _within(inside) or _bound_misfit(new, old)
    return None if fits else f"was {old} and is {new}"


def _within(inside: str | None) -> str | None:
    return None if inside is None else f"[]{inside}" if inside[:1] in ".[" else f"[] {inside}"


def _bound_misfit(new: ty.List | ty.Set | ty.Map, old: ty.List | ty.Set | ty.Map) -> str | None:
    return None if _is_bound(new.max, old.max) else f"was {old} and is {new}"


def _is_bound(new: int | None, old: int | None) -> bool:
    return new is None or (old is not None and old <= new)
