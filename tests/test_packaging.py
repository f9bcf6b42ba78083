"""What is installed is whole: the grammar and the example projections travel with the package, however it is installed."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
GRAMMAR = "grammar/projection.lark"
EXAMPLE = "projections/fines/fine_summary.proj"
ERRORS = "docs/errors.md"  # what `projection explain` shows


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, CHECKOUT], check=True, capture_output=True)
    return folder


def test_the_sdist_holds_everything_that_the_wheel_is_built_from_and_the_tests(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[-1] for name in archive.getnames()}
    assert {GRAMMAR, EXAMPLE, "tests/test_packaging.py", ".github/workflows/ci.yml"} <= names
    assert {"README.md", "LICENSE", "SECURITY.md", "Makefile", "lock.txt", "hatch_build.py"} <= names
    assert not {name for name in names if name.startswith((".venv", "dist", "build"))}


def test_the_wheel_holds_the_one_grammar_unchanged(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert (CHECKOUT / GRAMMAR).read_bytes() == archive.read(f"projection/_bundled/{GRAMMAR}")
        assert (CHECKOUT / EXAMPLE).read_bytes() == archive.read(f"projection/_bundled/{EXAMPLE}")
        assert (CHECKOUT / ERRORS).read_bytes() == archive.read(f"projection/_bundled/{ERRORS}")
        assert "projection/py.typed" in archive.namelist()
        console = [one for one in (CHECKOUT / "projection/ops/console").rglob("*") if one.is_file()]
        assert CHECKOUT / "projection/ops/console/index.html" in console
        for one in console:
            assert one.read_bytes() == archive.read(one.relative_to(CHECKOUT).as_posix())
        assert "projection/_bundled/grammar/tables.json" in archive.namelist()
        assert {name.partition("/")[0] for name in archive.namelist()} == {
            "projection",
            f"projection_node-{PROJECT['version']}.dist-info",
        }
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        told = archive.read(metadata).decode()
    bare = re.findall(r"^Requires-Dist: ([\w.-]+)(?!.*extra ==)", told, re.MULTILINE)
    assert sorted(re.match(r"[\w-]+", one)[0] for one in PROJECT["dependencies"]) == sorted(bare)
    assert set(PROJECT["optional-dependencies"]) == set(re.findall(r"^Provides-Extra: (\w+)", told, re.MULTILINE))


def test_the_wheel_in_an_empty_venv_runs_a_program(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    binaries = tmp_path / "venv" / "bin"
    subprocess.run([binaries / "pip", "install", "--quiet", wheel], check=True, capture_output=True)
    project = tmp_path / "project"
    project.mkdir()
    manifest = project / "manifest.yaml"
    manifest.write_text("manifest: 1\nviews:\n  counters: {program: counter.proj}\n")
    (project / "counter.proj").write_text(
        "proj 1\nprojection counters\nevent Added { id: string, by: decimal(2) }\nview Counter { total: decimal(2) }\n"
        "on Added as e to e.id => { total: (view?.total ?? 0.00) + e.by }\n"
    )
    (project / "events.jsonl").write_text(
        '{"aggregate_type":"counter","aggregate_id":"a","event_type":"Added","timestamp":"2024-01-01T00:00:00Z",'
        '"payload":{"id":"a","by":62.59}}\n' * 3
    )
    command = [binaries / "projection", "replay", "--manifest", manifest, project / "events.jsonl"]
    found = subprocess.run(command, check=True, capture_output=True, cwd=project)
    assert b'{"tenant_id":"","view_type":"counters","view_id":"a","view":{"total":187.77}}\n' == found.stdout
    subprocess.run([binaries / "projection", "new", "stock", "--folder", tmp_path / "new"], check=True)
    subprocess.run([binaries / "projection", "test", tmp_path / "new"], check=True)
    checked = subprocess.run([binaries / "projection", "check", project], check=True, capture_output=True)
    assert checked.stderr.endswith(b"checked 1 program, 1 manifest and 1 fixture: 0 errors\n")


def test_an_editable_install_reads_the_checkouts_own_files() -> None:
    from projection.bundled import bundled

    assert CHECKOUT / GRAMMAR == bundled(GRAMMAR)
