"""`projection fmt`: programs are laid out in place, shown, or only checked; what cannot be read is left alone."""

from __future__ import annotations

import subprocess

import pytest
from command_support import COUNTER, command, environment, in_this_process, projection, refused

from projection.bundled import bundled

MESSY = "proj 1\r\nprojection p # name\n\n\n\nevent E{id:string}\nview V{n:int=0}\non E as e to e.id=>{}\n"
NEAT = "proj 1\nprojection p  # name\n\nevent E { id: string }\nview V { n: int = 0 }\non E as e to e.id => {}\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "messy.proj").write_bytes(MESSY.encode())
    (tmp_path / "neat.proj").write_text(NEAT)
    return tmp_path


def test_programs_are_written_in_place(folder):
    ended = projection("fmt", folder=folder)
    assert (0, "", "laid out messy.proj\n1 changed, 1 unchanged\n") == (ended.returncode, ended.stdout, ended.stderr)
    assert NEAT.encode() == (folder / "messy.proj").read_bytes()
    assert "2 unchanged\n" == projection("fmt", folder=folder).stderr


def test_check_writes_nothing_and_fails_where_something_would_change(folder):
    ended = projection("fmt", "--check", folder=folder)
    assert (1, "") == (ended.returncode, ended.stdout)
    assert "would lay out messy.proj\n1 would change, 1 unchanged\n" == ended.stderr
    assert MESSY.encode() == (folder / "messy.proj").read_bytes()
    assert 0 == projection("fmt", "--check", "neat.proj", folder=folder).returncode


def test_diff_shows_what_would_change(folder):
    ended = projection("fmt", "--diff", folder=folder)
    assert 0 == ended.returncode
    assert ended.stdout.startswith("--- messy.proj\n+++ messy.proj\n@@ ")
    assert "\n-view V{n:int=0}\n" in ended.stdout
    assert "\n+view V { n: int = 0 }\n" in ended.stdout
    assert MESSY.encode() == (folder / "messy.proj").read_bytes()


def test_stdin_goes_to_stdout(folder):
    ended = subprocess.run(
        command("fmt", "-"), input=MESSY, capture_output=True, text=True, check=False, cwd=folder, env=environment()
    )
    assert (0, NEAT, "") == (ended.returncode, ended.stdout, ended.stderr)


def test_lines_that_end_as_on_windows_stay_so(folder):
    (folder / "dos.proj").write_bytes(NEAT.replace("\n", "\r\n").encode())
    (folder / "messy.proj").write_bytes(MESSY.replace("\r\n", "\n").replace("\n", "\r\n").encode())
    assert 0 == in_this_process("fmt", "--check", "dos.proj", folder=folder).returncode
    assert 0 == in_this_process("fmt", "messy.proj", folder=folder).returncode
    assert NEAT.replace("\n", "\r\n").encode() == (folder / "messy.proj").read_bytes()


def test_a_program_with_syntax_errors_is_left_alone_and_its_errors_are_shown(folder):
    (folder / "broken.proj").write_text(MESSY.replace("}\nview", "\nview"))
    before = (folder / "broken.proj").read_bytes()
    ended = projection("fmt", folder=folder)
    assert 1 == ended.returncode
    assert "error[P101]: " in ended.stderr
    assert "laid out messy.proj\n1 changed, 1 unchanged, 1 cannot be read\n" in ended.stderr
    assert before == (folder / "broken.proj").read_bytes()


def test_a_program_that_does_not_check_is_laid_out_all_the_same(tmp_path):
    (tmp_path / "p.proj").write_text(COUNTER.replace("{ total: int = 0 }", "{ total:int=0, total:int }"))
    assert 0 == projection("fmt", folder=tmp_path).returncode
    assert "{ total: int = 0, total: int }" in (tmp_path / "p.proj").read_text()


def test_the_examples_are_laid_out(tmp_path):
    assert 0 == projection("fmt", "--check", bundled("projections"), folder=tmp_path).returncode


def test_what_is_no_program_is_wrong_usage(tmp_path):
    (tmp_path / "notes.txt").touch()
    (tmp_path / "p.proj").write_bytes(b"\xff")
    (tmp_path / "empty").mkdir()
    refused(projection("fmt", "notes.txt", folder=tmp_path), 2, "notes.txt is no program")
    refused(projection("fmt", "nowhere", folder=tmp_path), 2, "nowhere does not exist")
    refused(projection("fmt", "empty", folder=tmp_path), 2, "empty/ holds no program")
    refused(projection("fmt", folder=tmp_path), 2, "p.proj is not UTF-8 text")
