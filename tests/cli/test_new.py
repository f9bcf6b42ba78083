"""`projection new`: what it writes checks and passes at once, and what is there stays."""

from __future__ import annotations

import re
import shlex
from contextlib import chdir

import pytest
from click.testing import CliRunner

from projection.bundled import bundled
from projection.cli import new
from projection.cli.main import app
from projection.errors import ConfigurationError
from projection.model.documents import read_document

TEMPLATE = new._TEMPLATE
GREEN = (
    ["check", "--strict"],
    ["fmt", "--check"],
    ["test", "--coverage", "--fail-under", "100"],
)
_DEEP = "views: # all\n    stock:\n        program: stock.proj\n        limits:\n            gas: 7\n"
_LISTED = "manifest: 1\nviews:\n  # the first\n  stock: { program: stock.proj } # mine\n"
_ENDED = "manifest: 1\nviews:\n  stock: {program: stock.proj}\n  # old: {program: old.proj}\n"
_ENTRY = "  orders: { program: orders.proj }\n"
MANIFESTS = {  # before and after
    "one entry a line": (_LISTED, f"{_LISTED}{_ENTRY}"),
    "deeper, with more behind it": (
        f"{_DEEP}\n# the form\nmanifest: 1\n",
        f"{_DEEP}  {_ENTRY}\n# the form\nmanifest: 1\n",
    ),
    "no end of line": (_LISTED.rstrip(), f"{_LISTED}{_ENTRY}"),
    "ends of lines of Windows": (_LISTED.replace("\n", "\r\n"), f"{_LISTED}{_ENTRY}".replace("\n", "\r\n")),
    "all on one line": (
        "manifest: 1\nviews: {stock: {program: stock.proj}} # all\n",
        "manifest: 1\nviews: { orders: { program: orders.proj },stock: {program: stock.proj}} # all\n",
    ),
    "a comment that ends it": (_ENDED, f"{_ENDED}{_ENTRY}"),
}


def invoke(folder, *arguments):
    with chdir(folder):
        return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "80"})


def assert_green(folder):
    for arguments in GREEN:
        done = invoke(folder, *arguments)
        assert done.exit_code == 0, done.output


def refusal(folder, *arguments):
    error = invoke(folder, "new", *arguments).exception
    assert isinstance(error, ConfigurationError)
    return error.message


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_new_projection_checks_is_laid_out_and_passes_its_tests_which_cover_it_whole(tmp_path):
    done = invoke(tmp_path, "new", "stock")
    assert done.stdout.splitlines() == [
        "wrote stock.proj",
        "wrote stock.jsonl",
        "wrote stock.scenario.yaml",
        "wrote __snapshots__/stock.scenario.views",
        "wrote manifest.yaml",
    ]
    assert_green(tmp_path)


def test_the_template_is_such_a_projection_itself_and_all_of_it_is_taken(tmp_path):
    assert_green(TEMPLATE)
    invoke(tmp_path, "new", "accounts")
    assert content(TEMPLATE) == content(tmp_path)


def test_nothing_of_the_template_s_name_is_left(tmp_path):
    invoke(tmp_path, "new", "stock")
    assert "accounts" not in "".join(f"{path}{text.decode()}" for path, text in content(tmp_path).items())


def test_every_step_that_comes_next_can_be_done(tmp_path):
    done = invoke(tmp_path, "new", "stock", "--folder", "my shop")
    steps = [shlex.split(step) for step in re.findall(r"^  (.*)$", done.stderr, re.MULTILINE)]
    assert steps.pop(0) == ["cd", "my shop"]
    assert [step[0] for step in steps] == ["projection"] * 5
    for _, *arguments in steps:
        ran = invoke(tmp_path / "my shop", *arguments)
        assert ran.exit_code == 0, ran.output


def test_several_live_in_one_folder_and_each_stays_green(tmp_path):
    for name in ("stock", "orders", "a", "z9_"):
        assert invoke(tmp_path, "new", name).exit_code == 0
    assert list(read_document(tmp_path / "manifest.yaml")["views"]) == ["stock", "orders", "a", "z9_"]
    assert_green(tmp_path)


@pytest.mark.parametrize("layout", MANIFESTS)
def test_a_manifest_gets_one_more_entry_and_is_else_the_same_to_the_byte(tmp_path, layout):
    before, after = MANIFESTS[layout]
    manifest = tmp_path / "manifest.yaml"
    manifest.write_bytes(before.encode())
    done = invoke(tmp_path, "new", "orders")
    assert "changed manifest.yaml" in done.stdout
    assert after.encode() == manifest.read_bytes()


@pytest.mark.parametrize("example", ["fines/manifest.yaml", "shop.yaml"])
def test_the_manifests_of_the_examples_take_an_entry(tmp_path, example):
    manifest = tmp_path / "manifest.yaml"
    manifest.write_bytes((bundled("projections") / example).read_bytes())
    before = read_document(manifest)
    invoke(tmp_path, "new", "orders")
    assert {**before["views"], "orders": {"program": "orders.proj"}} == read_document(manifest)["views"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("manifest: 1\nviews:\n  orders: {program: a.proj}\n", "manifest.yaml has a view type orders already"),
        ("manifest: 1\n", "manifest.yaml has no `views`, so it is no manifest"),
        ("views: [\n", "manifest.yaml, line 2, column 1: "),
        (
            '"views":\n  stock: {program: stock.proj}\n',
            "manifest.yaml is laid out so that no entry can be added to it, ",
        ),
        (
            "{views: {stock: {program: stock.proj}}}\n",
            "manifest.yaml is laid out so that no entry can be added to it, ",
        ),
        # What looks like the place is none.
        (
            '"views":\n  stock: {program: stock.proj}\nnote: "\nviews: {a"\n',
            "manifest.yaml is laid out so that no entry ",
        ),
    ],
)
def test_a_manifest_that_takes_no_entry_is_left_alone_and_so_is_the_folder(tmp_path, text, message):
    (tmp_path / "manifest.yaml").write_text(text)
    before = content(tmp_path)
    assert refusal(tmp_path, "orders").startswith(message)
    assert before == content(tmp_path)


@pytest.mark.parametrize(
    "file", ["stock.proj", "stock.jsonl", "stock.scenario.yaml", "__snapshots__/stock.scenario.views"]
)
def test_nothing_that_is_there_is_written_over(tmp_path, file):
    (tmp_path / "__snapshots__").mkdir()
    (tmp_path / file).write_text("mine")
    before = content(tmp_path)
    assert refusal(tmp_path, "stock") == f"there is {file} already, and nothing was written"
    assert before == content(tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Stock", "the name 'Stock' is not a lower-case identifier of at most 64 characters"),
        ("../stock", "the name '../stock' is not a lower-case identifier of at most 64 characters"),
        ("null", "the name 'null' means something else in YAML"),
    ],
)
def test_a_name_that_no_view_type_has_is_refused(tmp_path, name, message):
    assert refusal(tmp_path, name) == message
    assert content(tmp_path) == {}


def test_a_manifest_in_another_format_is_not_joined_by_a_second_one(tmp_path):
    (tmp_path / "manifest.toml").write_text("manifest = 1\n")
    assert refusal(tmp_path, "stock") == "manifest.toml is no manifest.yaml, and a folder has one manifest"


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "shop").write_text("")
    assert refusal(tmp_path, "stock", "--folder", "shop") == "shop is no folder"
    assert refusal(tmp_path, "stock", "--folder", "shop/inner") == "shop/inner cannot be written: Not a directory"
