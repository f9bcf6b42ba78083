"""`projection export-schema` and `import-schema`: schemas for others, and declarations out of theirs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from command_support import COUNTER, counted, deploy, projection, refused, write_events

from projection.bundled import bundled
from projection.cli.export_schema import export_schema
from projection.cli.import_schema import import_schema
from projection.errors import ConfigurationError


def test_a_view_type_is_exported_in_each_form(tmp_path):
    deploy(tmp_path)
    schema = json.loads(projection("export-schema", "counter.proj", folder=tmp_path).stdout)
    assert ("https://json-schema.org/draft/2020-12/schema", "Counter", ["total"]) == (
        schema["$schema"],
        schema["title"],
        schema["required"],
    )
    script = projection("export-schema", ".", "counter", "--format", "typescript", folder=tmp_path).stdout
    assert "export interface Counter {\n  readonly total: Int;\n}\n" in script
    models = projection("export-schema", "manifest.yaml", "--format", "pydantic", "--events", folder=tmp_path).stdout
    assert "class Counted(BaseModel, frozen=True, populate_by_name=True):\n    id: " in models


def test_what_cannot_be_exported_is_said_in_a_sentence(tmp_path):
    fines = bundled("projections/fines")
    (tmp_path / "any.proj").write_text("proj 1\nprojection any_event\nview V {}\non * to meta.aggregate_id => keep\n")
    for arguments, said in (
        ({"path": fines}, "has several view types: fine_summary, office_totals"),
        ({"path": fines, "view_type": "fine_sumary"}, "has no view type 'fine_sumary'"),
        ({"path": tmp_path / "any.proj", "events": True}, "declares no event"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            export_schema(**{"view_type": None, **arguments})
    (tmp_path / "wrong.proj").write_text(COUNTER.replace("e.n ", "e.m "))
    refused(projection("export-schema", "wrong.proj", folder=tmp_path), 1, "wrong.proj: ")


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz"])
def test_a_sample_becomes_a_program_that_only_lacks_a_view_and_handlers(tmp_path, name):
    events = [counted("a", 3), b'{"type": "Named", "data": {"id": "a", "first-name": "Ann"}}']
    if name.endswith(".gz"):
        (tmp_path / name).write_bytes(gzip.compress(b"\n".join(events)))
    else:
        write_events(tmp_path / name, events)
    ended = projection("import-schema", name, "--name", "counter", folder=tmp_path)
    assert (0, "2 events\n") == (ended.returncode, ended.stderr)
    assert ended.stdout.startswith("proj 1\nprojection counter\n\n# Read off 2 events by `projection import-schema`.")
    assert "event Counted {\n  id: string,\n  n: int,\n}\n" in ended.stdout
    assert 'first_name: string from "first-name",' in ended.stdout
    (tmp_path / "counter.proj").write_text(ended.stdout + "\nview V {}\non Counted as e to e.id => {}\n")
    assert 0 == projection("check", "counter.proj", folder=tmp_path).returncode
    assert 0 == projection("fmt", "--check", "counter.proj", folder=tmp_path).returncode


def test_messages_that_dump_wrote_are_a_sample_as_their_manifest_describes_them(tmp_path):
    described = [
        {
            "sequence": 1,
            "subject": "shop.a",
            "time": "2026-03-01T10:00:00Z",
            "headers": {"kind": "event"},
            "body": {"is": "Paid", "of": {"sum": 4.95}},
        },
        {
            "sequence": 2,
            "subject": "shop.a",
            "time": "2026-03-01T10:00:00Z",
            "headers": {"kind": "command"},
            "body": {"is": "Pay", "of": {}},
        },
    ]
    (tmp_path / "dumped.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in described))
    (tmp_path / "shop.proj").write_text("")
    manifest = {
        "manifest": 1,
        "events": {"event_type": "body.is", "payload": "body.of", "ignore": {"header.kind": ["command"]}},
        "views": {"shop": {"program": "shop.proj"}},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    ended = projection("import-schema", "dumped.jsonl", "--manifest", "manifest.json", folder=tmp_path)
    assert (0, "1 event\n") == (ended.returncode, ended.stderr)
    assert "event Paid {\n  sum: decimal(2),\n}\n" in ended.stdout
    (tmp_path / "a.json").write_text("{}")
    both = projection("import-schema", "a.json", "--manifest", "manifest.json", folder=tmp_path)
    refused(both, 2, "--manifest describes messages")


def test_envelopes_that_dump_wrote_are_a_sample_without_a_manifest(tmp_path):
    envelope = json.loads(counted("a", 3))
    line = {
        "sequence": 1,
        "subject": "tenant.a.aggregate.counter.a",
        "time": "2026-03-01T10:00:00Z",
        "body": envelope,
    }
    (tmp_path / "dumped.jsonl").write_text(f"{json.dumps(line)}\n")
    ended = projection("import-schema", "dumped.jsonl", folder=tmp_path)
    assert (0, "1 event\n") == (ended.returncode, ended.stderr)
    assert "event Counted {\n  id: string,\n  n: int,\n}\n" in ended.stdout


def test_schemas_become_one_event_a_file_called_as_their_title_or_their_file(tmp_path):
    schema = {"type": "object", "properties": {"sum": {"type": "number"}}, "required": ["sum"]}
    (tmp_path / "order-paid.schema.json").write_text(json.dumps(schema))
    (tmp_path / "b.json").write_text(json.dumps({**schema, "title": "OrderSent"}))
    ended = projection("import-schema", "order-paid.schema.json", "b.json", "--scale", "2", folder=tmp_path)
    assert 'event OrderPaid from "order-paid" {\n  sum: decimal(2),\n}\n\nevent OrderSent {' in ended.stdout


def test_what_is_exported_can_be_imported(tmp_path):
    deploy(tmp_path)
    (tmp_path / "a.json").write_text(projection("export-schema", ".", "--events", folder=tmp_path).stdout)
    assert (
        "event Counted {\n  id: string,\n  n: int,\n}\n"
        == projection("import-schema", "a.json", folder=tmp_path).stdout
    )


def test_what_cannot_be_imported_is_said_in_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text('{"type": "string"}')
    (tmp_path / "c.jsonl").write_text("{}\n")
    (tmp_path / "d.jsonl").write_text("")
    (tmp_path / "e.json").write_text('{"title": "E", "properties": {}}')
    monkeypatch.chdir(tmp_path)
    for names, said in (
        (["a.json"], "a.json is not JSON"),
        (["b.json"], "b: this is no schema of an object"),
        (["c.jsonl"], "c.jsonl:1: this is no event"),
        (["d.jsonl"], "d.jsonl: there is no event"),
        (["none.json"], "none.json cannot be read"),
        (["a.json", "c.jsonl"], "do not go together"),
        (["e.json", "e.json"], "declares the event 'E'"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            import_schema([Path(name) for name in names])
    refused(projection("import-schema", "d.jsonl", "--name", "a-b", folder=tmp_path), 2, "cannot name a program")
