"""What the tests of the operator's commands share: a data folder with parked events, left behind by a real node."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

from command_support import COUNTER, counted, deploy, fill, projection

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = [
    counted("x"),
    counted("bad"),
    counted("bad", -1),
    counted("bad", 5),
    counted("bad", -2),
    counted("bad", 7),
    counted("x", -1, tenant=""),
    counted("é:1", -3),
    counted("x").replace(b'"id": "x"', b'"id": 9'),
]
CORRECTED = COUNTER.replace("when e.n < 0 =>", "when e.n < -1 =>")


def left_behind(folder: Path, url: str) -> Path:
    """A folder with program, manifest and data; the node that made the data has ended."""
    folder.mkdir(exist_ok=True)
    deploy(folder, stream=folder.name)
    fill(url, folder.name, EVENTS)
    ran = projection("run", "--until-caught-up", "--url", url, "--stream", folder.name, folder=folder)
    assert 0 == ran.returncode, ran.stderr
    return folder


def copied(folder: Path, to: Path) -> Path:
    """The same once more, for a test that changes it."""
    shutil.copytree(folder, to, dirs_exist_ok=True)
    return to


def listed(folder: Path, *arguments: object) -> list[tuple[str, str | None, int, str]]:
    """Tenant, view id, sequence and code of what is parked."""
    ended = projection("parked", "list", "--json", *(arguments or ("--all-tenants",)), folder=folder)
    assert (0, "") == (ended.returncode, ended.stderr)
    found = map(json.loads, ended.stdout.splitlines())
    return [(one["tenant_id"], one["view_id"], one["sequence"], one["code"]) for one in found]


def total(folder: Path, view_id: str) -> int | None:
    ended = projection("show", "counter", view_id, "--tenant", "a", folder=folder)
    return json.loads(ended.stdout)["view"]["total"] if ended.returncode == 0 else None
