"""The workflow and the hooks of docs/ci.md: every command in them runs in a folder of projections, and notices faults."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from docs_pages import CHECKOUT, blocks
from warm_commands import warm_commands

from projection.bundled import bundled

PAGE = CHECKOUT / "docs/ci.md"
FILES = {block.attributes["file"]: yaml.safe_load(block.text) for block in blocks(PAGE) if block.kind == "yaml"}
STEPS = [step["run"] for step in FILES["projections.yml"]["jobs"]["projections"]["steps"] if "run" in step]
HOOKS = FILES[".pre-commit-config.yaml"]["repos"][0]["hooks"]
COMMANDS = [step for step in STEPS if not step.startswith("pip ")]
FAULTS = {  # which command notices
    "projection fmt": ("CreateFine {", "CreateFine{"),
    "projection check": ("e.amount_paid", "e.ammount_paid"),
    "projection test": ('status: "appealed"', 'status: "paid"'),
}


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(bundled("projections/fines"), tmp_path / "fines")
    return tmp_path


def ended(command, folder):
    environment = {**os.environ, "PATH": f"{warm_commands().folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", [*COMMANDS, *(hook["entry"] for hook in HOOKS)])
def test_every_command_passes_where_nothing_is_wrong(command, folder):
    assert 0 == ended(command, folder).returncode


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_workflow_fails_on_a_fault_of_its_own(command, folder):
    before, after = next(fault for name, fault in FAULTS.items() if command.startswith(name))
    program = folder / "fines" / "fine_summary.proj"
    assert before in program.read_text()
    program.write_text(program.read_text().replace(before, after))
    assert 1 == ended(command, folder).returncode


def test_the_report_that_the_workflow_uploads_is_written_where_it_looks(folder):
    (upload,) = (
        step for step in FILES["projections.yml"]["jobs"]["projections"]["steps"] if "sarif" in str(step.get("uses"))
    )
    for command in COMMANDS:
        ended(command, folder)
    assert "2.1.0" == json.loads((folder / upload["with"]["sarif_file"]).read_text())["version"]
    assert (folder / "projection-tests.xml").is_file()


def test_the_workflow_of_pull_requests_fails_on_what_breaks_others(folder):
    (job,) = FILES["compatibility.yml"]["jobs"].values()
    (command,) = (step["run"] for step in job["steps"] if step.get("run", "").startswith("projection "))
    command = command.replace("origin/${{ github.base_ref }}", "HEAD")
    git = "git -c user.name=a -c user.email=a@b -c init.defaultBranch=main"
    assert 0 == ended(f"{git} init -q && {git} add . && {git} commit -qm first", folder).returncode
    assert 0 == ended(command, folder).returncode
    program = folder / "fines" / "fine_summary.proj"
    program.write_text(program.read_text().replace("list<Paid>(100)", "list<Paid>(200)"))
    failed = ended(command, folder)
    assert (1, True) == (failed.returncode, failed.stdout.startswith("::error file=fines/fine_summary.proj,line="))


def test_the_hooks_of_the_repository_are_those_of_the_page():
    shared = yaml.safe_load((CHECKOUT / ".pre-commit-hooks.yaml").read_text())
    assert shared == [{key: value for key, value in hook.items() if key != "additional_dependencies"} for hook in HOOKS]


def test_hooks_that_take_files_take_programs(folder):
    for hook in HOOKS:
        names = "" if hook.get("pass_filenames", True) is False else " fines/fine_summary.proj fines/office_totals.proj"
        assert 0 == ended(hook["entry"] + names, folder).returncode


def test_the_example_of_a_report_has_the_fields_that_a_report_has(folder):
    program = folder / "fines" / "fine_summary.proj"
    program.write_text(program.read_text().replace("e.amount_paid", "e.ammount_paid"))
    (shown,) = (json.loads(block.text) for block in blocks(PAGE) if block.kind == "json")
    found = json.loads(ended("projection check --format json", folder).stdout)
    assert list(shown) == list(found)
    assert list(shown["findings"][0]) == list(found["findings"][0])
