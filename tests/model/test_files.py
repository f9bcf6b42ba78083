"""What is asked of a path: absence is an answer, a refusal is none, whatever the version of Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from projection.model.files import is_file, is_folder, is_there

if TYPE_CHECKING:
    from pathlib import Path

QUESTIONS = [is_file, is_folder, is_there]


def test_a_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert [True, False, True] == [ask(tmp_path / "file") for ask in QUESTIONS]
    assert [False, True, True] == [ask(tmp_path) for ask in QUESTIONS]


def test_what_is_not_there_is_an_answer(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (tmp_path / "nothing", tmp_path / "file" / "below", tmp_path / "loop"):
        assert [False, False, False] == [ask(path) for ask in QUESTIONS], path


@pytest.mark.parametrize("ask", QUESTIONS)
def test_what_the_system_refuses_to_say_is_no_answer(tmp_path: Path, ask) -> None:
    with pytest.raises(OSError, match="File name too long"):
        ask(tmp_path / ("x" * 5_000))
    failing = type(tmp_path)(tmp_path)

    class Failing(type(failing)):
        def stat(self, *, follow_symlinks=True):
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        ask(Failing(tmp_path))
