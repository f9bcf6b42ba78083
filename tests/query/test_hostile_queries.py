"""Whatever is sent as a query: it is one, or there is one `QueryError` that says where it is wrong."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from projection.model.query_limits import QueryLimits
from projection.query.errors import QueryError, QueryInvalidError, QueryLimitError
from projection.query.filters import compile_filter
from projection.query.form import MAX_NESTING, OPERATORS, Query, read_filter
from projection.query.schema import ViewSchema
from projection.query.selection import selected

FINES = Path(__file__).parents[2] / "projections/fines/fine_summary.proj"
VIEW = (
    b'{"amount":35.00,"article":157,"balance":24.90,"expense":0.00,"paid":10.10,"payments":[{"amount":10.10,'
    b'"on":"2001-01-31"}],"penalty":0.00,"status":"part_paid","updated_on":"2001-01-31","vehicle":"A"}'
)


@cache
def fines() -> ViewSchema:
    return ViewSchema.of("fine_summary.proj", FINES.read_text())


def asked(written: Any) -> None:
    """Ask it of one view; anything but a `QueryError` comes through."""
    refused: QueryError | None = None
    try:
        query = Query.read(written)
        compiled = compile_filter(fines(), query.filter)
        compiled.matches(10_000, fines().decoder(compiled.fields)(VIEW), "A1")
        if query.select:
            selected(fines(), query.select)(VIEW)
        for key in query.sort:
            fines().resolve(key.field).is_multi  # noqa: B018
    except QueryError as error:
        refused = error
    event(type(refused).__name__)
    if refused is not None:
        assert refused.pointer is not None
        assert len(str(refused)) < 2_000


# --- JSON of any shape, most of it nearly a query --------------------------------------------------------------------

NAMES = st.sampled_from(
    ["and", "or", "not", "field", "op", "value", "view", "filter", "sort", "select", "limit", "cursor", "count", "desc",
     "status", "balance", "payments", "payments.amount", "payments.0.on", "$id", "", "<and>", "a/b", "x"]
)  # fmt: skip
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.decimals(), st.text(max_size=8), NAMES,
    st.sampled_from([*OPERATORS, "paid", "2001-01-31", "10.10", "-balance", "\ud800", "fine_summary", 10**400, Decimal("1E+999999")]),
)  # fmt: skip
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=20,
)
COMPARISONS = st.fixed_dictionaries(
    {"field": st.one_of(NAMES, TREES), "op": st.sampled_from(OPERATORS)}, optional={"value": TREES}
)
FILTERS = st.recursive(
    st.one_of(COMPARISONS, TREES),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"and": st.lists(inner, max_size=3)}), st.fixed_dictionaries({"not": inner})
    ),
    max_leaves=8,
)
QUERIES = st.fixed_dictionaries(
    {"view": st.one_of(st.just("fine_summary"), LEAVES), "filter": FILTERS},
    optional={"sort": TREES, "select": st.one_of(TREES, st.lists(NAMES, min_size=1)), "limit": LEAVES, "wait_ms": LEAVES, "max_lag_s": LEAVES},
)  # fmt: skip


@settings(max_examples=300)
@given(st.one_of(QUERIES, TREES))
def test_values_of_any_shape_are_a_query_or_say_where_they_are_wrong(tree):
    asked(tree)


@settings(max_examples=200)
@given(st.one_of(st.binary(max_size=60), st.text(max_size=60)))
@example(b'{"view":"fine_summary","limit":1e999999999999999999999}')
@example('{"view":"fine_summary","filter":"' + "\\ud800" + '"}')
@example("[" * 100_000)
def test_bytes_of_any_kind_are_a_query_or_are_refused(data):
    asked(data)


# --- texts -----------------------------------------------------------------------------------------------------------

TEXTS = [
    'status == "paid" and balance > 100', "any(p.amount > 5 for p in payments)", "payments[0]?.on == date(2001, 1, 31)",
    'settle(view, updated_on).status in ["paid", "sent"]', 'not (article != 7 or id == "A1")', 'starts_with(id, "A{article}")',
    "sum(p.amount for p in payments) * 2 >= paid", "let x = view with { paid += 1 }; x.paid > 3", 'match status { "paid" => true, _ => false }',
    'fail("NO", "x") ?? true', "has(view.status)", 'let e: CreateFine = {fine_id: "", amount: 1, article: 2, vehicle: "A"}; has(e.amount)',
    "fold(n = 0 for p in payments => n + 1) == 1", "narrow(view) ?? true", "{[1]: 2}[1]! == 2", 'view == view and "{id}" != ""',
    "count(range(article * 1000000)) > 0", "range(-1) == []", '"\U0001f600" < vehicle', "1 / 0 == 1", "div(1, article - 157) == 1",
]  # fmt: skip
PIECES = st.sampled_from(["(", ")", "[", "]", "{", "}", '"', "not ", " and ", "?.", "!", "==", "view", "e", "#", "\n", "\x00", "\ud800", "=>", "9" * 50, "for", "\U0001f600"])  # fmt: skip


@st.composite
def mutated(draw: Any) -> str:
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 8)))
        text = text[:start] + draw(st.one_of(PIECES, st.text(max_size=3))) + text[end:]
    return text


@settings(max_examples=300)
@given(mutated())
def test_a_text_is_a_condition_or_its_fault_is_shown_in_it(text):
    asked({"view": "fine_summary", "filter": text})


@pytest.mark.long
@settings(max_examples=10_000)
@given(st.one_of(mutated().map(lambda text: {"view": "fine_summary", "filter": text}), QUERIES))
def test_many_more_queries_are_understood_or_refused(query):
    asked(query)


@pytest.mark.parametrize(
    "text",
    ["(" * 5_000, "not " * 4_000 + "true", " and ".join(["true"] * 3_000), "[" * 5_000, '"' + "{" * 5_000, "-" * 10_000 + "1 == 1",
     "payments" + "[0]" * 5_000, "a." * 8_000 + "b", "1 + " * 4_000 + "1 == 1", "if true then " * 1_000 + "true"],
    ids=lambda text: text[:12],
)  # fmt: skip
def test_a_text_that_nests_or_repeats_without_end_is_refused(text):
    with pytest.raises((QueryInvalidError, QueryLimitError)) as refused:
        compile_filter(fines(), read_filter(text))

    assert refused.value.pointer == "/filter"
    assert refused.value.excerpt is None or len(refused.value.excerpt) < 2_000


# --- limits ----------------------------------------------------------------------------------------------------------

LEAF = {"field": "article", "op": "gt", "value": 1}


def nested(levels: int) -> Any:
    found: Any = LEAF
    for _ in range(levels - 1):
        found = {"not": found}
    return found


@pytest.mark.parametrize(
    ("filter_", "limit"),
    [
        (nested(33), "filter_depth"),
        ({"and": [LEAF] * 501}, "filter_bytes"),
        ({"and": [LEAF] * 21}, "filter_leaves"),
        ("true" + " " * 20_000, "filter_bytes"),
    ],
)
def test_a_filter_beyond_a_limit_is_told_which_and_what_it_is(filter_, limit):
    limits = QueryLimits(filter_leaves=20)
    query = Query.read({"view": "fine_summary", "filter": filter_})

    with pytest.raises(QueryLimitError) as refused:
        compile_filter(fines(), query.filter, limits)

    assert (limit, getattr(limits, limit)) == (refused.value.limit, refused.value.value)
    assert refused.value.hint


@pytest.mark.parametrize(
    "filter_", [nested(32), {"or": [{"and": [LEAF] * 20}] * 20}, {"field": "$id", "op": "in", "value": ["x"] * 1_000}]
)
def test_a_filter_at_its_limits_is_taken(filter_):
    compiled = compile_filter(
        fines(), Query.read({"view": "fine_summary", "filter": filter_}).filter, QueryLimits(filter_bytes=65_536)
    )

    assert compiled.matches(10**6, fines().decoder(compiled.fields)(VIEW), "x")[0] in (True, False)


def test_json_that_nests_beyond_all_filters_is_refused_before_it_is_looked_at():
    text = '{"not":' * MAX_NESTING + json.dumps(LEAF) + "}" * MAX_NESTING

    with pytest.raises(QueryInvalidError, match="levels deep"):
        read_filter(text)


def test_a_path_leads_through_three_lists_at_most():
    deep = ViewSchema.of("deep", """
proj 1
projection deep
event E {}
type R { n: int }
view V { three: list<list<list<R>>>, four: list<list<list<list<R>>>> }
on E to none => keep
""")  # fmt: skip

    assert deep.resolve(("three", "n")).is_multi
    with pytest.raises(QueryInvalidError, match="more than 3 lists"):
        deep.resolve(("four", "n"))


def test_a_text_that_no_utf_8_can_say_is_refused():
    with pytest.raises(QueryInvalidError, match="not part of the language"):
        compile_filter(fines(), 'vehicle == "\ud800"')
    with pytest.raises(QueryInvalidError, match="not JSON"):
        read_filter('vehicle == "\ud800"')


# --- what is said of it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "pointer", "says"),
    [
        ({}, "", "`view` is missing"),
        ({"view": "v", "filtr": 1}, "/filtr", "did you mean `filter`?"),
        ({"view": "v", "filter": {"and": [LEAF, {"field": "statsu", "op": "eq", "value": "paid"}]}}, "/filter/and/1/field", "did you mean `status`?"),
        ({"view": "v", "filter": {"field": "payments.amout", "op": "gt", "value": 1}}, "/filter/field", "did you mean `amount`?"),
        ({"view": "v", "filter": {"field": "balance.x", "op": "gt", "value": 1}}, "/filter/field", "nothing is inside it"),
        ({"view": "v", "filter": {"not": {"field": "status", "op": "eq", "value": "payd"}}}, "/filter/not/value", 'did you mean "paid"?'),
        ({"view": "v", "filter": {"field": "article", "op": "eq", "value": 1.5}}, "/filter/value", "1.5 is no int"),
        ({"view": "v", "filter": {"field": "article", "op": "in", "value": [1, "2"]}}, "/filter/value/1", '"2" is no int'),
        ({"view": "v", "filter": {"field": "balance", "op": "starts_with", "value": "1"}}, "/filter/op", "there are: eq, ne, lt"),
        ({"view": "v", "filter": {"field": "payments", "op": "contains", "value": "1"}}, "/filter/op", "go on to one of its fields"),
        ({"view": "v", "filter": {"field": "article", "op": "eq"}}, "/filter", "needs a `value`"),
        ({"view": "v", "filter": {"field": "article", "op": "is", "value": 1}}, "/filter/op", "'eq', 'ne'"),
        ({"view": "v", "filter": "balance"}, "/filter", "decimal(2) does not fit the condition"),
        ({"view": "v", "filter": 'statsu == "paid"'}, "/filter", "did you mean `status`?"),
        ({"view": "v", "select": ["status", "payments.0"]}, "/select/1", "one item of a list cannot be selected"),
        ({"view": "v", "sort": [{"field": "a", "dsc": True}]}, "/sort/0/dsc", "did you mean `desc`?"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_place_and_a_way_out(query, pointer, says):
    with pytest.raises(QueryInvalidError) as refused:
        _understood(query)

    assert (pointer, "query.invalid") == (refused.value.pointer, refused.value.code)
    assert says in str(refused.value)


def test_a_fault_in_a_text_is_shown_where_it_is():
    with pytest.raises(QueryInvalidError) as refused:
        _understood({"view": "v", "filter": 'article > 1\n  and statsu == "paid"'})

    assert (18, 24) == refused.value.span
    assert '2 |   and statsu == "paid"\n  |       ^^^^^^ did you mean `status`?' in refused.value.excerpt


def test_a_filter_that_fails_on_a_view_says_on_which_and_where():
    compiled = compile_filter(fines(), "payments[3]!.amount > 1")

    with pytest.raises(QueryError) as failed:
        compiled.matches(10_000, fines().decoder(compiled.fields)(VIEW), "A1")

    assert ("query.filter_failed", "/filter", (0, 12)) == (failed.value.code, failed.value.pointer, failed.value.span)
    assert "view 'A1'" in failed.value.message


def test_a_filter_without_gas_says_how_to_ask_for_less():
    compiled = compile_filter(fines(), "count(range(1000000)) > 0", QueryLimits(gas=5_000))

    with pytest.raises(QueryLimitError) as failed:
        compiled.matches(5_000, None, "A1")

    assert ("gas", 5_000) == (failed.value.limit, failed.value.value)


def _understood(written: Any) -> None:
    query = Query.read(written)
    compile_filter(fines(), query.filter)
    if query.select:
        selected(fines(), query.select)
