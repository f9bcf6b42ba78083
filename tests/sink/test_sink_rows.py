"""What a view is as a row: names that PostgreSQL takes, and values with all that they are."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sink_support import DECODE, plain

from projection.errors import ConfigurationError
from projection.lang.values.codec import encode
from projection.model.ids import ViewType
from projection.query.schema import ViewSchema
from projection.sink.columns import MAX_NAME, Rows, shortened
from projection.sink.database import Address
from projection.sink.reading import Mark
from projection.sink.tables import DRAFT, SERVING, Tables, prepare
from projection.sink.texts import storable, storable_json

VIEW_TYPE = ViewType("all_kinds")
FIELDS = {
    "flag": "bool", "number": "int", "money": "decimal(2)", "rate": "decimal", "name": "string", "status": "enum(open, shut)",
    "day": "date", "moment": "timestamp", "length": "duration", "data": "json",
}  # fmt: skip
PROGRAM = """proj 1
projection all_kinds
event Made { id: string }
type Home { city: string, zip?: int }
view Thing { %s, home?: Home, tags: list<string> }
%s
on Made as e to e.id => keep
"""


def schema(fields=FIELDS, more=""):
    declared = ", ".join(f"{name}?: {type_}" for name, type_ in fields.items())
    return ViewSchema.of("all_kinds.proj", PROGRAM % (declared, more))


KINDS = schema()
TEXTS = st.text(st.characters(codec="utf-8") | st.sampled_from("\0␀\\u'\";%{}"), max_size=12)
VALUES = {
    "flag": st.booleans(),
    "number": st.integers(-(2**63), 2**63 - 1),
    "money": st.decimals(-(10**30), 10**30, places=2),
    "rate": st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30, places=8),
    "name": TEXTS,
    "status": st.sampled_from(["open", "shut"]),
    "day": st.dates(),
    "moment": st.datetimes(timezones=st.just(UTC)),
    "length": st.timedeltas(timedelta(microseconds=-(2**63)), timedelta(microseconds=2**63 - 1)),
    "data": st.recursive(
        st.booleans() | TEXTS | st.integers(-(10**37), 10**37),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=6,
    ),
}


@given(TEXTS, TEXTS)
def test_different_texts_stay_different_and_are_read_back(one, other):
    assert "\0" not in storable(one)
    assert (storable(one) == storable(other)) == (one == other)
    assert one == storable(one).replace("␀␀", "\1").replace("␀0", "\0").replace("\1", "␀") or "\1" in one


@given(st.recursive(TEXTS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3)))
@example("\\u0000")
@example("\\\0")
@example({"\0": "␀"})
def test_the_texts_in_a_view_are_written_alike_wherever_they_stand(value):
    def stored(one):
        match one:
            case str():
                return storable(one)
            case list():
                return [stored(item) for item in one]
            case _:
                return {storable(name): stored(item) for name, item in one.items()}

    for is_ascii in (True, False):
        data = json.dumps(value, ensure_ascii=is_ascii).replace("\\u2400", "␀").encode()
        assert stored(value) == json.loads(storable_json(data))


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=100), st.integers(0, 20))
def test_a_name_fits_and_is_the_same_whenever_it_is_made(name, room):
    made = shortened(name, room)
    assert len(made.encode()) <= MAX_NAME - room
    assert made == shortened(name, room)
    if len(name.encode()) <= MAX_NAME - room:
        assert made == name


def test_names_that_are_taken_or_too_long_get_others_of_their_own():
    long = "a_field_with_a_name_that_goes_on_and_on_beyond_what_postgres_keeps_"
    fields = {"id": "int", "id_": "int", "xmin": "int", "view": "int", "select": "int", long + "1": "int", long + "2": "int",
              "home_city": "int"}  # fmt: skip
    rows = Rows(VIEW_TYPE, schema(fields), [*fields, "home.city"])
    names = rows.shape.names
    assert len(set(names)) == len(names) == 3 + 9
    assert {"id_", "id__", "xmin_", "view_", "select", "home_city", "home_city_"} <= set(names)
    assert all(len(name.encode()) <= MAX_NAME for name in names)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nmae", "did you mean `name`"),
        ("home", "leads to no single value"),
        ("tags", "leads to no single value"),
        ("data", "leads to no single value"),
        ("data.x", "leads to no single value"),
        ("$id", "leads to no single value"),
        ("", "no field"),
    ],
)
def test_a_path_of_the_manifest_that_leads_to_no_single_value_is_refused(path, said):
    with pytest.raises(ConfigurationError, match="columns of view type all_kinds") as refused:
        Rows(VIEW_TYPE, KINDS, [path])
    assert said in str(refused.value)


@pytest.fixture(scope="module")
def kept(postgres):
    """A connection, tables and rows of a view type of all kinds of values, with a column each."""
    connection = Address(postgres.new_database()).connect()
    prepare(connection, "kept \"by\" 'them'; --")
    tables = Tables("kept \"by\" 'them'; --", VIEW_TYPE)
    rows = Rows(VIEW_TYPE, KINDS, [name for name in FIELDS if name != "data"] + ["home.city", "home.zip"])
    tables.create(connection, rows.shape, Mark(1, "f", "s", 1, 0, 0), "digest", is_first=True)
    tables.copy(connection, tables.lock(connection)[DRAFT], [], None)
    with connection.transaction():
        tables.exchange(connection, tables.lock(connection)[DRAFT], None)
    yield connection, tables, rows
    connection.close()


@settings(max_examples=60)
@given(st.fixed_dictionaries({name: st.none() | values for name, values in VALUES.items()}), TEXTS, TEXTS.filter(bool))
@example({**dict.fromkeys(FIELDS), "length": timedelta(microseconds=-(2**63)), "day": date.min}, "", "\0")
@example({**dict.fromkeys(FIELDS), "moment": datetime.min.replace(tzinfo=UTC), "number": -(2**63)}, "'; DROP", "$$")
@example({**dict.fromkeys(FIELDS), "moment": datetime.max.replace(tzinfo=UTC), "day": date.max}, "\\N", "\\.")
def test_a_row_holds_each_value_exactly(kept, values, tenant, view_id):
    connection, tables, rows = kept
    view = KINDS.record.made()(**{**dict.fromkeys(KINDS.record.fields), **values, "tags": []})
    row = rows.row(tenant, view_id, encode(view))
    part = tables.lock(connection)[SERVING]
    tables.apply(connection, part, [row], [])
    names = ["flag", "number", "money", "rate", "name", "status", "day::text", "moment AT TIME ZONE 'UTC'"]
    found = asked_for(connection, f"SELECT {', '.join(names)}, extract(epoch FROM length)::numeric", row)
    wanted = {**values, "name": None if values["name"] is None else storable(values["name"])}
    assert [wanted[name] for name in ("flag", "number", "money", "rate", "name", "status")] == list(found[:6])
    assert (values["day"] and values["day"].isoformat()) == found[6]
    assert (values["moment"] and values["moment"].replace(tzinfo=None)) == found[7]
    ((view_text,),) = [asked_for(connection, "SELECT view::text", row)]
    assert plain(DECODE(encode(view))) == DECODE(view_text)
    length = values["length"]
    assert (None if length is None else Decimal(length // timedelta(microseconds=1)).scaleb(-6)) == found[8]
    tables.apply(connection, part, [], [(row[0], row[1])])
    assert asked_for(connection, "SELECT 1", row) is None


def asked_for(connection, select, row):
    from_ = 'FROM "kept ""by"" \'them\'; --".all_kinds WHERE tenant_id = %s AND id = %s'
    return connection.execute(f"{select} {from_}", row[:2]).fetchone()
