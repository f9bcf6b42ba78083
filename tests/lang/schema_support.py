"""What the tests of schemas share: programs out of fragments, and generated modules as Python sees them."""

from __future__ import annotations

import importlib.util
import sys
from decimal import Decimal
from itertools import count

from hypothesis import strategies as st

from projection.lang import types as ty
from projection.lang.check.checker import check
from projection.lang.source import Source

_number = count()


def program(text):
    """A program that checks, of any declarations, with a view and a handler where there are none."""
    if "\nview " not in f"\n{text}":
        text += "\nview V {}"
    if "\non " not in f"\n{text}":
        text += "\non * to meta.aggregate_id => keep"
    return check(Source("p.proj", f"proj 1\nprojection p\n{text}\n"))


def imported(text, folder):
    """The module of a text, as Python imports it."""
    name = f"generated_{next(_number)}"
    path = folder / f"{name}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where pydantic looks names up
    spec.loader.exec_module(module)
    return module


# --- values ----------------------------------------------------------------------------------------------------------

SINGLE = {
    ty.Bool: st.booleans(),
    ty.Int: st.integers(-(2**63), 2**63 - 1),
    ty.Date: st.sampled_from(["2024-02-29", "1999-12-31"]),
    ty.Timestamp: st.sampled_from(["2024-02-29T12:00:00Z", "1999-12-31T23:30:00.5-01:00"]),
    ty.Duration: st.sampled_from(["PT0S", "PT90S", "-PT1S"]),
    ty.Json: st.sampled_from([True, 3, Decimal("0.50"), "a", [None], {"a": [1]}]),
}


def json_of(type_):
    """JSON that events may have where this type is declared, with exact numbers."""
    match type_:
        case ty.Decimal():
            return st.integers(-(10**9), 10**9).map(
                lambda n: Decimal(n).scaleb(-(3 if type_.scale is None else type_.scale))
            )
        case ty.String():
            return st.text(st.sampled_from("ab\u00e9\U0001f600 "), max_size=min(type_.max, 5))
        case ty.Bytes():
            return st.sampled_from(["", "YQ=="])
        case ty.Enum():
            return st.sampled_from([*type_.members, *(["other"] if type_.open else [])])
        case ty.List() | ty.Set():
            return st.lists(json_of(type_.item), max_size=min(type_.max, 3))
        case ty.Map():
            return st.dictionaries(json_of(type_.key).map(str), json_of(type_.value), max_size=min(type_.max, 3))
        case ty.Optional():
            return st.none() | json_of(type_.inner)
        case ty.Record():
            fields = {one.wires[0]: json_of(one.type) for one in type_.fields.values()}
            needed = {one.wires[0] for one in type_.fields.values() if one.required}
            optional = {name: one for name, one in fields.items() if name not in needed}
            return st.fixed_dictionaries({name: fields[name] for name in sorted(needed)}, optional=optional)
    return SINGLE[type(type_)]
