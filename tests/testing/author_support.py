"""What the tests of the author's loop share: a program of fines, its files in a folder, events in short form."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from patience import WITHIN_S
from warm_commands import warm_commands

CHECKOUT = Path(__file__).resolve().parents[2]
FINES = """\
proj 1
projection fines

event Created from "fine.created" { id: string, amount: decimal(2) }
event Paid { id: string, amount: decimal(2) }

type Payment { amount: decimal(2), on: date }
view Fine { amount: decimal(2), paid: decimal(2) = 0.00, payments: list<Payment>(10) = [] }

on Created as e creates e.id => { amount: e.amount }
on Paid as e updates e.id =>
  view with { paid += e.amount, payments: [...view.payments, { amount: e.amount, on: meta.date }] }
"""
PASSING = """
test "a fine is paid in parts" {
  event Created { id: "A1", amount: 35.00 } at "2000-01-01T00:00:00+01:00";
  event Paid { id: "A1", amount: 10.10 };
  expect view("A1").paid == 10.10;
  event Paid { id: "A1", amount: 24.90 };
  expect view("A1").paid == 35.00;
}
"""
FAILING = """
test "a fine is paid twice" {
  event Created { id: "A1", amount: 35.00 };
  event Paid { id: "A1", amount: 35.00 };
  expect view("A1").paid == 70.00;
}
"""
CREATED = {"type": "fine.created", "data": {"id": "A1", "amount": 35}}
PAID = {"type": "Paid", "data": {"id": "A1", "amount": 10.10}}


# pytest as authors have it who installed it with this package: without the other plugins that this project uses.
QUIET = tuple(
    f"-pno:{name}" for name in ("cacheprovider", "randomly", "asyncio", "anyio", "schemathesis", "hypothesispytest")
)


def write(folder: Path, files: dict[str, str]) -> Path:
    """Files in a folder, by their paths from it."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def envelope(event_type: str, payload: str, **more: Any) -> str:
    fields = {"aggregate_type": "fine", "aggregate_id": "A1", "timestamp": "2000-01-02T03:04:05Z", **more}
    head = "".join(f'"{name}": "{value}", ' for name, value in fields.items())
    return f'{{{head}"event_type": "{event_type}", "payload": {payload}}}'


def run(*command: object, folder: Path) -> tuple[int, str]:
    """A command's exit status and all that it prints, as its users see it; not as a worker of the run that this is."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PROJECTION"))}
    environment["COLUMNS"] = "80"
    program, *arguments = map(str, command)
    if program == "projection":
        warm = warm_commands().run([program, *arguments], folder, environment, merged=True)
        return warm.returncode, warm.stdout
    ended = subprocess.run(
        [sys.executable, "-m", program, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    return ended.returncode, ended.stdout
