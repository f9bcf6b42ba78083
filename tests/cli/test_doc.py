"""`projection doc`: the reference comes from the records of the library, and from what a program declares."""

from __future__ import annotations

from command_support import projection, refused

from projection.bundled import bundled
from projection.lang.library import BUILTINS, OPERATORS


def test_the_whole_library_is_shown_with_every_example(tmp_path):
    ended = projection("doc", folder=tmp_path)
    assert (0, "") == (ended.returncode, ended.stderr)
    for name, overloads in BUILTINS.items():
        assert f"\n## `{name}`\n" in ended.stdout
        for one in overloads:
            assert one.doc in ended.stdout
            assert all(f"- `{expression}` → `{value}`" in ended.stdout for expression, value in one.examples)
    assert all(f"\n## `{symbol}`\n" in ended.stdout for symbol in OPERATORS if symbol != "negative")


def test_one_operation_is_shown_with_its_signature_and_costs(tmp_path):
    ended = projection("doc", "year", folder=tmp_path)
    assert ended.stdout.startswith("## `year`\n\n`date -> int`\n\n")
    assert "\nGas " in ended.stdout
    assert projection("doc", "-", folder=tmp_path).stdout.count("->") == len(OPERATORS["-"] + OPERATORS["negative"])


def test_a_program_is_shown_with_the_comments_of_its_author(tmp_path):
    ended = projection("doc", bundled("projections/fines/fine_summary.proj"), folder=tmp_path)
    assert (0, "") == (ended.returncode, ended.stderr)
    assert ended.stdout.startswith("# fine_summary\n\nOne view per road-traffic fine: ")
    assert "| `vehicle` | `string(8)` | from `vehicle_class` |\n" in ended.stdout
    assert "\n### Paid\n\nOne payment.\n" in ended.stdout
    assert "\n### `fn settle(f: Fine, day: date) -> Fine`\n\nThe fine with what is still owed" in ended.stdout
    assert "\n### `on InsertDateAppealToPrefecture, AppealToJudge as e updates e.fine_id`\n" in ended.stdout
    assert "| `status` | `enum(created, " in ended.stdout
    assert '; default `"created"`' in ended.stdout or ' default `"created"` |' in ended.stdout
    assert "\n`index by status, balance desc`\n" in ended.stdout


def test_what_the_library_does_not_have_is_wrong_usage(tmp_path):
    refused(projection("doc", "rond", folder=tmp_path), 2, "the library has no 'rond'", "did you mean 'round'?")
    refused(projection("doc", "none.proj", folder=tmp_path), 2, "none.proj cannot be read")
    (tmp_path / "p.proj").write_text("proj 1\n")
    assert 1 == projection("doc", "p.proj", folder=tmp_path).returncode
