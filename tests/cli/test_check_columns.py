"""`projection check` holds `columns` of a manifest against the program, before a sink does."""

from __future__ import annotations

from command_support import COUNTER, in_this_process

from projection.errors import EXIT_FAILED

MANIFEST = """\
manifest: 1
views:
  counters:
    program: counter.proj
    columns: [total, {}]
"""


def test_a_column_that_is_no_single_value_is_shown_at_its_place(tmp_path):
    (tmp_path / "counter.proj").write_text(COUNTER)
    for path, said in (("totl", "did you mean `total`?"), ("$id", "leads to no single value")):
        (tmp_path / "manifest.yaml").write_text(MANIFEST.format(path))
        ended = in_this_process("check", "manifest.yaml", "--format", "github", folder=tmp_path)
        assert ended.returncode == EXIT_FAILED, ended.stderr
        assert "file=manifest.yaml,line=5," in ended.stdout
        assert said in ended.stdout


def test_columns_that_are_single_values_are_nothing_to_speak_of(tmp_path):
    (tmp_path / "counter.proj").write_text(COUNTER)
    (tmp_path / "manifest.yaml").write_text(MANIFEST.replace(", {}", ""))
    ended = in_this_process("check", "manifest.yaml", folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
