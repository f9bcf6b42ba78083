"""Indexes: which entries a view has, and that a range of them holds whatever fits it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from projection.lang.check.checker import CheckedProgram, check
from projection.lang.source import Source
from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.keys import MAX_KEY_BYTES, ViewKey
from projection.store.indexes import (
    MAX_BODY,
    MAX_ENTRIES,
    Edge,
    Indexer,
    IndexKey,
    StoredIndex,
    StoredIndexes,
    declared_indexes,
    entry_key,
    group_of,
    index_prefix,
    index_range,
    overfull_range,
)
from projection.testing.hostile_ids import tenant_ids, view_ids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ITEMS = ViewType("items")
TENANT = TenantId("t")
CENT = Decimal("0.01")

PROGRAM = """
proj 1
projection items
event Made {{ item: string }}
type Part {{ name: string, price: decimal(2)?, tags: set<string> }}
type Place {{ town: string?, floor: int, notes: list<string> }}
view Item {{
  flag: bool,
  number: int,
  amount: decimal(2),
  ratio: decimal,
  name: string?,
  status: enum(open, closed),
  day: date?,
  at: timestamp,
  took: duration,
  parts: list<Part>,
  more: list<int>?,
  place: Place?,
}}
{indexes}
on Made as e updates e.item => view
"""


@cache
def program(*indexes: str) -> CheckedProgram:
    """The program with `index by` what is given."""
    declared = "\n".join(f"index by {keys}" for keys in indexes)
    return check(Source("items.proj", PROGRAM.format(indexes=declared)))


def stored(checked: CheckedProgram) -> tuple[StoredIndex, ...]:
    return StoredIndexes.EMPTY.declare(declared_indexes(checked), is_empty=True).indexes


def item(checked: CheckedProgram, **fields: Any) -> Any:
    """A view; what is not given is nothing in particular."""
    plain = dict.fromkeys(checked.view.fields)
    return checked.view.made()(**{**plain, "status": "open", "parts": [], **fields})


def part(checked: CheckedProgram, name: str, price: Decimal | None = None, tags: Iterable[str] = ()) -> Any:
    parts: Any = checked.view.fields["parts"].type
    return parts.item.made()(name=name, price=price, tags=tuple(sorted(tags)))


def place(checked: CheckedProgram, town: str | None, notes: Iterable[str] = ()) -> Any:
    places: Any = checked.view.fields["place"].type
    return places.inner.made()(town=town, floor=0, notes=list(notes))


def entries(checked: CheckedProgram, views: dict[ViewKey, Any]) -> list[tuple[bytes, bytes]]:
    """The entries of all views in all indexes, in the order of a store."""
    indexer = Indexer(stored(checked), checked.view)
    return sorted(entry for key, view in views.items() for entry in indexer.entries(key.encode(), view).items())


def within(found: list[tuple[bytes, bytes]], start: bytes, stop: bytes) -> list[str]:
    """The ids of the entries in a range."""
    return [value.decode() for key, value in found if start <= key < stop]


def ids(views: dict[ViewKey, Any]) -> dict[str, Any]:
    return {key.view_id: view for key, view in views.items()}


def named(*views: Any) -> dict[ViewKey, Any]:
    """Views of one tenant with the ids 0, 1, …"""
    return {ViewKey(TENANT, ITEMS, ViewId(str(number))): view for number, view in enumerate(views)}


# --- what a program declares ------------------------------------------------------------------------------------------


def test_a_declared_index_names_paths_directions_and_orders() -> None:
    """Lists, sets and records that may be missing are led through; the same index twice is one."""
    checked = program(
        "status, amount desc", "place.town", "place.floor", "parts.tags", "parts.price", "more", "status, amount desc"
    )
    assert declared_indexes(checked) == (
        (IndexKey(("status",), False, "string"), IndexKey(("amount",), True, "decimal(2)")),
        (IndexKey(("place", "town"), False, "string?"),),
        (IndexKey(("place", "floor"), False, "int?"),),
        (IndexKey(("parts", "tags"), False, "string", many=True),),
        (IndexKey(("parts", "price"), False, "decimal(2)?", many=True),),
        (IndexKey(("more",), False, "int", many=True),),
    )


STATUS, AMOUNT, MORE = declared_indexes(program("status", "amount desc, status", "more"))


def test_numbers_of_indexes_are_never_used_again() -> None:
    """What is declared again after it was dropped is another index, whose entries are all still to be made."""
    first = StoredIndexes.EMPTY.declare([STATUS, AMOUNT], is_empty=True)
    second = first.declare([AMOUNT, MORE], is_empty=False)
    third = second.declare([STATUS, AMOUNT], is_empty=False)
    assert [(one.number, one.built) for one in first.indexes] == [(1, True), (2, True)]
    assert [(one.number, one.keys, one.built) for one in second.indexes] == [(2, AMOUNT, True), (3, MORE, False)]
    assert [(one.number, one.keys, one.built) for one in third.indexes] == [(2, AMOUNT, True), (4, STATUS, False)]
    assert (second.dropped, third.dropped, third.last_number) == ((1,), (1, 3), 4)


@pytest.mark.parametrize(
    "changed",
    [
        IndexKey(("status",), True, "string"),
        IndexKey(("status",), False, "string?"),
        IndexKey(("status",), False, "int"),
        IndexKey(("status",), False, "string", many=True),
        IndexKey(("status", "x"), False, "string"),
    ],
)
def test_an_index_of_another_path_direction_or_type_is_another_one(changed: IndexKey) -> None:
    """Its entries are others, so the former ones go."""
    found = StoredIndexes.EMPTY.declare([STATUS], is_empty=True).declare([(changed,)], is_empty=False)
    assert ([one.number for one in found.indexes], found.dropped) == ([2], (1,))


def test_the_record_of_a_stores_indexes_is_read_as_it_was_written() -> None:
    """With what is built, how far the others are, and what is to be deleted."""
    declared = StoredIndexes.EMPTY.declare([STATUS, AMOUNT, MORE], is_empty=True).declare([AMOUNT], is_empty=False)
    building = replace(declared, indexes=(replace(declared.indexes[0], built=False, progress="view:é:items:1"),))
    for record in (StoredIndexes.EMPTY, declared, building):
        assert StoredIndexes.decode(record.encode()) == record


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"indexes":[{}],"dropped":[],"last_number":0}', json.dumps(STATUS).encode()]
)
def test_what_is_no_record_of_indexes_is_refused(data: bytes) -> None:
    """A damaged store is told, and no index of it is made up."""
    with pytest.raises(ValueError):
        StoredIndexes.decode(data)


# --- ranges -----------------------------------------------------------------------------------------------------------

TEXTS = st.text("ab\0\1é😀", max_size=4) | st.text("a", min_size=250, max_size=270)
AMOUNTS = st.integers(-300, 300).map(lambda cents: Decimal(cents).scaleb(-2))
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "flag": st.booleans(),
    "number": st.integers(-3, 3) | st.sampled_from([-(2**63), 2**63 - 1, 255, 256]),
    "amount": AMOUNTS,
    "ratio": st.decimals(-2, 2, places=1) | st.sampled_from([Decimal("1.0"), Decimal("1.00"), Decimal("-0.25")]),
    "name": st.none() | TEXTS,
    "status": st.sampled_from(["open", "closed"]),
    "day": st.none() | st.dates(),
    "at": st.datetimes(timezones=st.just(UTC)),
    "took": st.timedeltas(),
}
KEYS = st.lists(st.sampled_from(list(FIELDS)), min_size=1, max_size=3, unique=True)


def fits(value: Any, lower: Edge | None, upper: Edge | None) -> bool:
    """What a comparison says; nothing compares with none."""
    if value is None:
        return lower is None and upper is None
    return (lower is None or value > lower.value or (lower.inclusive and value == lower.value)) and (
        upper is None or value < upper.value or (upper.inclusive and value == upper.value)
    )


@given(st.data())
def test_a_range_holds_just_the_views_that_fit(data: st.DataObject) -> None:
    """Equal first keys, and the next one between two ends; of cut entries, at least those that fit."""
    names = data.draw(KEYS)
    directions = [data.draw(st.sampled_from(["", " desc"])) for _ in names]
    checked = program(", ".join(map("".join, zip(names, directions, strict=True))))
    row = st.fixed_dictionaries({name: FIELDS[name] for name in names})
    rows = data.draw(st.lists(row, min_size=1, max_size=6))
    views = named(*(item(checked, **one) for one in rows))
    equal = data.draw(st.integers(0, len(names) - 1))
    probe = data.draw(st.sampled_from(rows) | row)
    wanted, last = [probe[name] for name in names[:equal]], names[equal]
    values = st.sampled_from([one[last] for one in rows]) | FIELDS[last]
    if last in ("number", "amount", "ratio"):
        values |= st.decimals(-4, 4, places=3) | st.integers(-4, 4)
    edges = st.none() | st.builds(Edge, values.filter(lambda value: value is not None), st.booleans())
    lower, upper = data.draw(edges), data.draw(edges)

    (index,) = stored(checked)
    found = entries(checked, views)
    in_range = within(found, *index_range(TENANT, index, wanted, lower=lower, upper=upper))
    fitting = [
        view_id
        for view_id, view in ids(views).items()
        if all(getattr(view, name) == value for name, value in zip(names, wanted, strict=False))
        and fits(getattr(view, last), lower, upper)
    ]
    assert set(fitting) <= set(in_range)
    assert len(in_range) == len(set(in_range))
    if not any(group_of(key) for key, _ in found):
        assert sorted(fitting) == sorted(in_range)


@given(st.lists(st.none() | TEXTS, max_size=8), TEXTS, st.sampled_from(["name", "name desc", "flag, name"]))
def test_a_range_holds_the_texts_that_begin_alike(texts: list[str | None], start: str, keys: str) -> None:
    """All of them, and none that begins otherwise, as long as no entry is cut."""
    checked = program(keys)
    views = named(*(item(checked, name=text) for text in texts))
    (index,) = stored(checked)
    found = entries(checked, views)
    equal = [False] if keys.startswith("flag") else []
    in_range = within(found, *index_range(TENANT, index, equal, starts_with=start))
    fitting = [view_id for view_id, view in ids(views).items() if view.name is not None and view.name.startswith(start)]
    assert set(fitting) <= set(in_range)
    if not any(group_of(key) for key, _ in found):
        assert sorted(fitting) == sorted(in_range)


@given(st.lists(st.tuples(*(FIELDS[name] for name in ("status", "amount", "name"))), max_size=10))
def test_entries_stand_in_the_order_of_the_index_and_then_of_the_ids(
    rows: list[tuple[str, Decimal, str | None]],
) -> None:
    """Each key in its direction, none first; where bodies are cut, group by group."""
    checked = program("status, amount desc, name")
    views = named(*(item(checked, status=one, amount=two, name=three) for one, two, three in rows))
    found = entries(checked, views)
    order = sorted(
        ids(views).items(),
        key=lambda one: (one[1].status, -one[1].amount, one[1].name is not None, one[1].name or "", one[0]),
    )
    groups: dict[bytes, set[str]] = {}
    for key, view_id in found:
        groups.setdefault(group_of(key) or key, set()).add(view_id.decode())
    expected = iter(view_id for view_id, _ in order)
    for group in groups.values():
        assert group == {next(expected) for _ in group}


def test_a_body_that_is_too_long_is_cut_and_keeps_its_views_apart() -> None:
    """Texts that differ only far behind share a group; where they differ before, their order is kept."""
    checked = program("name")
    long = "a" * 300
    views = named(*(item(checked, name=name) for name in ("a" * 200, long + "x", long + "y", "b" * 300)))
    (index,) = stored(checked)
    found = entries(checked, views)
    groups = [group_of(key) for key, _ in found]
    assert found[0][1] == b"0"
    assert groups[0] is None
    assert groups[1] == groups[2] == index_prefix(1, TENANT) + b"\x01" + b"a" * (MAX_BODY - 1)
    assert groups[3] == index_prefix(1, TENANT) + b"\x01" + b"b" * (MAX_BODY - 1)
    assert len({key for key, _ in found}) == 4
    assert {"1", "2"} == set(within(found, *index_range(TENANT, index, [long + "x"])))
    assert {"1", "2", "3"} == set(within(found, *index_range(TENANT, index, lower=Edge(long + "x", inclusive=False))))


# --- several values ---------------------------------------------------------------------------------------------------

PARTS = st.lists(
    st.tuples(st.sampled_from("abc"), st.none() | AMOUNTS, st.lists(st.sampled_from("xyz"), unique=True, max_size=2)),
    max_size=3,
)


@given(st.lists(PARTS, max_size=4), st.sampled_from("abcd"), st.sampled_from("xyz"), st.sampled_from(["", " desc"]))
def test_a_multi_index_finds_what_some_element_has(
    rows: list[list[tuple[str, Decimal | None, list[str]]]], name: str, tag: str, direction: str
) -> None:
    """Each key by itself: one element may have the one value, and another the other. A view is found once."""
    checked = program(f"parts.name{direction}, status, parts.tags{direction}")
    views = named(*(item(checked, parts=[part(checked, *one) for one in row]) for row in rows))
    (index,) = stored(checked)
    found = entries(checked, views)
    by_name = within(found, *index_range(TENANT, index, [name]))
    by_both = within(found, *index_range(TENANT, index, [name, "open", tag]))
    tagged = {view_id: view for view_id, view in ids(views).items() if any(one.tags for one in view.parts)}
    assert {key for key, view in tagged.items() if any(one.name == name for one in view.parts)} == set(by_name)
    assert sorted(
        key
        for key, view in tagged.items()
        if any(one.name == name for one in view.parts) and any(tag in one.tags for one in view.parts)
    ) == sorted(by_both)


def test_what_is_missing_has_an_entry_and_what_is_empty_has_none() -> None:
    """A record that is none gives none; a list that is none, or empty, gives nothing."""
    checked = program("place.town", "more", "parts.price", "place.notes")
    views = named(
        item(checked, place=None, more=None, parts=[]),
        item(checked, place=place(checked, None), more=[], parts=[part(checked, "a")]),
        item(checked, place=place(checked, "x", notes=["n"]), more=[3, 3, 4], parts=[part(checked, "a", CENT)] * 2),
    )
    found = entries(checked, views)
    town, more, price, notes = (within(found, *index_range(TENANT, index)) for index in stored(checked))
    assert (town, more, price, notes) == (["0", "1", "2"], ["2", "2"], ["1", "2"], ["2"])
    assert within(found, *index_range(TENANT, stored(checked)[0], [None])) == ["0", "1"]


STATES = st.none() | st.tuples(FIELDS["name"], AMOUNTS, PARTS)


@given(STATES, STATES)
def test_a_change_takes_away_what_was_and_adds_what_is(
    before: tuple[Any, ...] | None, after: tuple[Any, ...] | None
) -> None:
    """Entries that stay are not touched; a view that comes has only new ones, one that goes only old ones."""
    checked = program("name, amount desc", "parts.name, amount", "parts.tags")
    indexer, key = Indexer(stored(checked), checked.view), ViewKey(TENANT, ITEMS, ViewId("1")).encode()
    views = [
        None
        if one is None
        else item(checked, name=one[0], amount=one[1], parts=[part(checked, *each) for each in one[2]])
        for one in (before, after)
    ]
    old, new = ({} if view is None else indexer.entries(key, view) for view in views)
    expected = {entry: None for entry in old if entry not in new} | {
        entry: value for entry, value in new.items() if entry not in old
    }
    assert indexer.changes(key, *views) == expected


def test_a_view_with_too_many_values_stands_aside() -> None:
    """It has one entry, outside of all ranges, where everybody looks who looks for something."""
    checked = program("parts.name, more")
    parts = [part(checked, str(number)) for number in range(40)]
    few, many = list(range(MAX_ENTRIES // 40)), list(range(MAX_ENTRIES // 40 + 1))
    views = named(item(checked, parts=parts, more=few), item(checked, parts=parts, more=many), item(checked, more=few))
    (index,) = stored(checked)
    found = entries(checked, views)
    assert len(found) == MAX_ENTRIES + 1
    assert set(within(found, *index_range(TENANT, index))) == {"0"}
    assert within(found, *overfull_range(TENANT, index)) == ["1"]


# --- keys -------------------------------------------------------------------------------------------------------------


@given(
    tenant_ids(),
    tenant_ids(),
    view_ids(),
    st.none() | TEXTS,
    st.sampled_from(["name", "name desc", "parts.name", "number"]),
)
def test_tenants_never_meet(tenant: TenantId, other: TenantId, view_id: ViewId, name: str | None, keys: str) -> None:
    """No range of one tenant holds an entry of another, be their ids the beginning of one another."""
    assume(tenant != other)
    checked = program(keys)
    parts = [part(checked, name or "")]
    view = item(checked, name=name, number=1, parts=parts)
    views = {ViewKey(owner, ITEMS, view_id): view for owner in (tenant, other)}
    (index,) = stored(checked)
    found = entries(checked, views)
    ranges: list[Callable[[TenantId], tuple[bytes, bytes]]] = [lambda owner: index_range(owner, index)]
    if index.is_multi:
        ranges.append(lambda owner: overfull_range(owner, index))
    elif keys != "number":
        ranges.append(lambda owner: index_range(owner, index, starts_with=""))
        ranges.append(lambda owner: index_range(owner, index, lower=Edge("")))
    for range_of in ranges:
        start, stop = range_of(other)
        assert not [key for key, _ in found if start <= key < stop and key.startswith(index_prefix(1, tenant))]
    start, stop = index_range(tenant, index)
    assert [value for key, value in found if start <= key < stop] == [
        ViewKey(tenant, ITEMS, view_id).encode().split(b":", 3)[3]
    ]


def test_no_index_shares_entries_with_another() -> None:
    """Index 1 has nothing of index 11."""
    assert not index_prefix(11, TenantId("")).startswith(index_prefix(1))


def test_the_longest_keys_are_still_keys() -> None:
    """200 bytes of tenant, all the id that fits a view's key, texts without end: what LMDB takes."""
    checked = program("name, name desc, parts.name")
    tenant = TenantId("é" * 100)
    view_id = ViewId("i" * (MAX_KEY_BYTES - len(ViewKey.prefix(tenant, ITEMS))))
    view = item(checked, name="x" * 60_000, parts=[part(checked, "y" * 60_000)])
    huge = StoredIndex(2**31, declared_indexes(checked)[0], built=True)
    (key,) = Indexer([huge], checked.view).entries(ViewKey(tenant, ITEMS, view_id).encode(), view)
    assert len(key) <= MAX_KEY_BYTES
    assert key == entry_key(tenant, huge, body(view, view_id))


def body(view: Any, view_id: str) -> bytes:
    """As the module says: the keys' encodings, that of `desc` inverted, and the id."""
    name = b"\x01" + view.name.encode() + b"\x00"
    return (
        name + bytes(255 - byte for byte in name) + view.parts[0].name.encode() + b"\x00" + view_id.encode() + b"\x00"
    )
