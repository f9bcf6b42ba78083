"""Every filter in docs/query.md takes the views that stand behind its arrow; its form is the published schema."""

from __future__ import annotations

import json
import re
from functools import cache

import pytest
from docs_pages import CHECKOUT, blocks, section, table
from docs_schemas import QUERY_SCHEMA, query_schema
from docs_tables import UQF_TYPES

from projection.engine.deployment import load_deployment
from projection.engine.replay import Replay
from projection.model.envelope import Tenancy
from projection.model.manifest import Manifest
from projection.query import errors
from projection.query.errors import QueryError
from projection.query.filters import compile_filter
from projection.query.form import OPERATORS, Query, read_filter
from projection.query.schema import ViewSchema

PAGE = CHECKOUT / "docs/query.md"
FILES = {block.attributes["file"]: block.text for block in blocks(PAGE) if "file" in block}
EXAMPLES = [
    pytest.param(*line.split(" --> "), id=f"{block.place}+{number}")
    for block in blocks(PAGE)
    if block.kind == "uqf"
    for number, line in enumerate(block.text.splitlines(), 1)
]


@cache
def schema() -> ViewSchema:
    return ViewSchema.of("orders.proj", FILES["orders.proj"])


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The views of the page's events, by id."""
    folder = tmp_path_factory.mktemp("page")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    replay = Replay(load_deployment(Manifest.load(folder / "manifest.yaml"), Tenancy()), Tenancy())
    replay.run(FILES["events.jsonl"].encode().splitlines())
    (lane,) = replay.lanes
    return {key.view_id: view for key, view in lane.store.scan(None, lane.view_type)}


@pytest.mark.parametrize(("filter_", "expected"), EXAMPLES)
def test_a_filter_of_the_page_takes_what_its_arrow_says(filter_: str, expected: str, views: dict[str, bytes]) -> None:
    try:
        compiled = compile_filter(schema(), read_filter(filter_))
    except QueryError as error:
        found = error.pointer
    else:
        decode = schema().decoder(compiled.fields)
        taken = [view_id for view_id, view in views.items() if compiled.matches(10**6, decode(view), view_id)[0]]
        found = " ".join(taken) or "nothing"
    assert expected == found


def test_the_query_of_the_page_is_one_and_its_table_names_every_member() -> None:
    (form,) = [block.text for block in blocks(PAGE) if "form" in block]
    query = Query.read(form)
    compile_filter(schema(), query.filter)

    head = PAGE.read_text().split("## ", 1)[0]
    assert set(Query.model_fields) == set(
        re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.*?) \|", head, re.MULTILINE)))
    )


def test_every_operator_and_every_error_stands_in_its_table() -> None:
    assert set(OPERATORS) == {
        name for row in re.findall(r"^\| (`.*?) \|", section(PAGE, "## Structured filters"), re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    } - {"op"}  # fmt: skip
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, QueryError)]
    codes = {one.default_code for one in kinds} - {QueryError.default_code}
    assert codes == set(re.findall(r"^\| `(query\.\w+)`", section(PAGE, "## Errors"), re.MULTILINE))


def test_the_table_of_what_can_be_asked_has_every_type() -> None:
    assert len(UQF_TYPES) == len(table(PAGE, "query operators"))


def test_the_published_schema_is_that_of_the_form() -> None:
    assert query_schema() == QUERY_SCHEMA.read_text(), "run `python tests/docs/update.py`"
    assert "$schema" in json.loads(QUERY_SCHEMA.read_text())
