"""`projection export`: a file of the views of one position, in each format with all that a value is."""

import csv
import json
import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from command_support import in_this_process, projection
from query_support import IDS, TENANTS, THINGS, Site, thing

from projection.errors import EXIT_FAILED, EXIT_USAGE
from projection.extras import missing_extra
from projection.query.schema import ViewSchema
from projection.sink import parquet as parquet_writer
from projection.sink.export import Csv, JsonLines, export, whole_file
from projection.sink.parquet import Parquet

pyarrow_parquet = pytest.importorskip("pyarrow.parquet")
DICE = random.Random(7)


@pytest.fixture
def site(tmp_path):
    site = Site(tmp_path / "data")
    site.store.put({(tenant, view_id): thing("x", DICE) for tenant in TENANTS for view_id in DICE.sample(IDS, 5)})
    yield site
    site.close()


def stored(site):
    """All views in the order of their keys: tenant, id and JSON."""
    return [(key.tenant_id, key.view_id, view) for key, view in site.store.lane.scan(None, THINGS)]


def exported(site, writer_of, tenant=None):
    file = site.catalog.data / "out"
    file.unlink(missing_ok=True)
    with whole_file(file) as out:
        found = export(site.served, THINGS, tenant, writer_of(out))
    return found, file


def test_lines_hold_the_bytes_of_each_view(site):
    found, file = exported(site, JsonLines)
    lines = file.read_bytes().splitlines()
    assert found.views == len(lines) == 5 * len(TENANTS)
    assert found.position.scanned == 1
    for (tenant, view_id, view), line in zip(stored(site), lines, strict=True):
        assert line.endswith(b',"view":%b}' % view)
        assert [tenant, view_id] == [json.loads(line)[name] for name in ("tenant_id", "id")]


def test_one_tenants_views_are_those_and_no_others(site):
    for tenant in TENANTS:
        _, file = exported(site, JsonLines, tenant)
        assert {tenant} == {json.loads(line)["tenant_id"] for line in file.read_bytes().splitlines()}


def test_csv_holds_texts_as_they_are_and_all_else_as_json(site):
    _, file = exported(site, lambda out: Csv(out, site.record))
    with file.open(newline="", encoding="utf-8") as text:
        rows = list(csv.reader(text))
    names = sorted(site.record.fields)
    assert rows[0] == ["tenant_id", "id", *names]
    for (tenant, view_id, view), row in zip(stored(site), rows[1:], strict=True):
        fields = msgspec.json.decode(view, type=dict[str, msgspec.Raw])
        assert [tenant, view_id] == row[:2]
        for name, cell in zip(names, row[2:], strict=True):
            raw = bytes(fields[name])
            assert cell == (json.loads(raw) if raw.startswith(b'"') else "" if raw == b"null" else raw.decode())


def test_what_is_written_while_views_change_is_of_one_position(site, monkeypatch):
    before = stored(site)

    class Changing(JsonLines):
        """Changes a view behind each that is written."""

        def write(self, tenant_id, view_id, view):
            super().write(tenant_id, view_id, view)
            site.store.put({(TENANTS[-1], "zzz"): thing("later", DICE), (TENANTS[0], view_id): None})

    _, file = exported(site, Changing)
    assert len(before) == len(file.read_bytes().splitlines())
    assert stored(site) != before


PROGRAM = """
proj 1
projection kinds
event Made { id: string }
view Kind { flag?: bool, id?: int, money?: decimal(2), rate?: decimal, name?: string, day?: date, moment?: timestamp,
  length?: duration, raw?: bytes, tags: list<decimal>, data?: json }
on Made as e to e.id => keep
"""
SOME = {
    "flag": True, "id": -(2**63), "money": Decimal("-99999999999999999999.10"), "rate": Decimal("0.000000000000000001"),
    "name": "\x00é", "day": date.min, "moment": datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
    "length": timedelta(microseconds=-(2**63)), "raw": b"\x00\xff",
}  # fmt: skip


def test_parquet_holds_each_value_exactly_by_its_type(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_writer, "_GROUP_ROWS", 2)
    schema = ViewSchema.of("kinds.proj", PROGRAM)
    views = [
        schema.record.made()(**{**dict.fromkeys(schema.record.fields), "tags": [Decimal("1.50")], **some})
        for some in (SOME, {}, {"name": "x", "data": {"a": Decimal("1.10")}})
    ]
    with (tmp_path / "out").open("wb") as out:
        writer = Parquet(out, schema)
        for number, view in enumerate(views):
            writer.write("t", str(number), schema_encode(schema, view))
        writer.close()
    table = pyarrow_parquet.read_table(tmp_path / "out")
    assert pyarrow_parquet.ParquetFile(tmp_path / "out").num_row_groups == 2
    rows = table.to_pylist()
    assert [row["$id"] for row in rows] == ["0", "1", "2"], "the field `id` has its own name to itself"
    assert {**SOME, "rate": "0.000000000000000001"} == {name: rows[0][name] for name in SOME}
    assert dict.fromkeys(SOME) == {name: rows[1][name] for name in SOME}
    assert (rows[0]["tags"], rows[2]["data"]) == ("[1.50]", '{"a":1.10}')


def schema_encode(schema, view):
    from projection.lang.values.codec import Codec

    return Codec(schema.record).encode(view)


@pytest.mark.parametrize("format_", ["jsonl", "csv", "parquet"])
def test_the_command_tells_the_position_and_leaves_no_draft(site, tmp_path, format_):
    options = ("--format", format_, "--storage", tmp_path / "data")
    ended = projection("export", "things", "out", *options, folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert (5 * len(TENANTS), 1, 1) == (told["views"], told["scanned"], told["build"])
    assert told["as_of"].startswith("2023-11-14T")
    assert [path.name for path in tmp_path.glob("out*")] == ["out"]
    again = projection("export", "things", "out", *options, folder=tmp_path)
    assert again.returncode == EXIT_USAGE
    assert "exists already" in again.stderr


def test_a_file_that_cannot_be_written_and_views_that_are_not_there(site, tmp_path):
    where = ("--storage", tmp_path / "data")
    ended = projection("export", "things", "nowhere/out", *where, folder=tmp_path)
    assert ended.returncode == EXIT_USAGE
    assert "cannot be written" in ended.stderr
    ended = projection("export", "elsewhere", "out", *where, folder=tmp_path)
    assert ended.returncode == EXIT_FAILED
    assert "there is no view type 'elsewhere'" in ended.stderr
    assert not list(tmp_path.glob("out*"))
    ended = in_this_process("export", "Else", "out", *where, folder=tmp_path)
    assert ended.returncode == EXIT_USAGE


def test_the_library_that_parquet_lacks_is_named_with_its_extra():
    assert "pip install 'projection-node[parquet]'" in str(missing_extra(ModuleNotFoundError(name="pyarrow")))
