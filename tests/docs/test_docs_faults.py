"""Each kind of fault that authors make is on the page of faults, with a command that finds it.

That the commands say what the page shows is tested with all pages, and so is the table.
"""

from __future__ import annotations

from docs_faults import FAULTS, findings
from docs_pages import blocks
from docs_tables import command_parameters

KINDS = {  # who must find it, at least
    "A typo in a field": {"check"},
    "A wrong type": {"check"},
    "A missing arm": {"check"},
    "A list without a bound": {"fuzz"},
    "A change of meaning that nobody announced": {"test", "diff"},
    "An event field that its producer renamed": {"check"},
    "A handler that depends on duplicates": {"fuzz"},
}


def test_every_kind_of_fault_is_found() -> None:
    found = {kind: {one.finder for one in findings() if one.fault == kind} for kind in KINDS}
    assert found == KINDS


def test_who_finds_a_fault_is_a_command_that_fails_on_it() -> None:
    finding = [block for block in blocks(FAULTS) if "says" in block]
    assert {"1"} == {block.attributes["status"] for block in finding}
    assert {one.finder.partition(" ")[0] for one in findings()} <= set(command_parameters())


def test_nobody_finds_a_fault_in_the_program_that_is_right() -> None:
    (right,) = (
        block.text for block in blocks(FAULTS) if block.is_run and "--strict" in block.text and "says" not in block
    )
    assert {"check", "test", "fuzz"} == {
        line.split()[2] for line in right.splitlines() if line.startswith("$ projection ")
    }
    assert "fixture: 0 errors\n" in right
    assert "1 passed, 0 failed\n" in right
    assert "0 faults, 0 notes\n" in right
