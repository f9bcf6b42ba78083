"""Operators who give orders at random, to a node or to its folder; several at once, each in a process that may be killed."""

from __future__ import annotations

import signal
import socket
import sys
from dataclasses import dataclass, field
from random import Random
from time import sleep
from typing import TYPE_CHECKING, Any

import msgspec
from crash_log import STREAM, TENANTS
from crash_site import forks
from node_faults import LIFETIME_S

from projection.cli.door import door_to
from projection.engine.orders import (
    AdoptOrder,
    BackupOrder,
    CompactOrder,
    DeleteOrder,
    DeployOrder,
    DropOrder,
    Order,
    PromoteOrder,
    RebuildOrder,
    RepairOrder,
    RetireOrder,
)
from projection.errors import ProjectionError
from projection.history.build_comparison import compare_builds
from projection.model.ids import ViewType
from projection.model.settings import Settings
from projection.query.reading import parked_events
from projection.store import control_socket
from projection.store.catalog import CatalogReader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    AnyOrder = Order | DeployOrder | CompactOrder | BackupOrder

ORDERS_OF = (
    *("pause", "resume", "rebuild", "rebuild", "drop", "drop", "delete", "deploy", "adopt"),
    *("promote", "promote", "rollback", "rollback", "retire", "repair", "repair", "compact", "backup"),
)
KEPT = 2  # backups
BY = {"by": "the schedule"}


@dataclass
class Operator:
    """Draws orders, and gives them: to the node, or to the folder where none runs."""

    data: Path
    url: str  # of the server
    view_types: Sequence[str]
    recipes: Sequence[str]  # of the manifest
    corrected: Sequence[tuple[str, str]]  # a view type, and the recipe that may adopt it
    dice: Random = field(default_factory=Random)
    carried_out: int = 0

    @property
    def settings(self) -> Settings:
        return Settings(nats={"url": self.url}, stream=STREAM, storage=self.data)

    @property
    def backups(self) -> Path:
        """Where they are."""
        return self.data.parent / "backups"

    def another(self) -> Operator:
        """One who draws other orders."""
        return Operator(
            self.data, self.url, self.view_types, self.recipes, self.corrected, Random(self.dice.randrange(2**32))
        )

    def give(self) -> None:
        """Give an order that may be refused; the node may be killed meanwhile, and so may whoever gives it."""
        name = self.dice.choice(ORDERS_OF)
        try:
            order = self.drawn(name, self.dice.choice(self.view_types))
            if order is None:
                return
            if self.dice.random() < 0.1:
                compare_builds(self.data, ViewType(self.dice.choice(self.view_types)))
            if self.dice.random() < 0.2:
                self.give_and_go(name, order)
            else:
                with door_to(self.data) as door:
                    getattr(door, name)(order, *self.more(name))
            self.carried_out += 1
        except ProjectionError as error:
            print(f"{name}: {error.message:.100}")

    def more(self, name: str) -> list[Any]:
        """What an order comes with, beside itself."""
        return [self.settings] if name == "repair" else []

    def drawn(self, name: str, view_type: str) -> AnyOrder | None:
        """An order of this name; None where there is nothing that it could be given for.

        Raises:
            ProjectionError: the folder cannot be read.
        """
        by = {"view_type": view_type, **BY}
        match name:
            case "repair":
                return RepairOrder(tenant_id=self.dice.choice((None, *TENANTS)), **by)
            case "rebuild":
                gate = self.dice.choice((None, "when_caught_up", "when_equal", "manual"))
                return RebuildOrder(promote=gate, **by)
            case "compact":
                return CompactOrder(view_type=self.dice.choice((None, view_type)), **BY)
            case "backup":
                return BackupOrder(directory=str(self.backups), keep=KEPT, **BY)
            case "promote":
                return PromoteOrder(although_parked=self.dice.random() < 0.5, **by)
            case "retire":
                return RetireOrder(**by)
            case "deploy":
                return DeployOrder(recipes=list(self.recipes), **BY)
            case "adopt":
                adopting, recipe = self.dice.choice(self.corrected)
                return AdoptOrder(view_type=adopting, recipe=recipe, **BY)
            case "drop":
                return self.drop(view_type)
            case "delete":
                with CatalogReader.open(self.data) as catalog:
                    number = self.dice.choice(catalog.builds(ViewType(view_type))).number
                return DeleteOrder(build=number, **by)
            case _:
                return Order(**by)

    def drop(self, view_type: str) -> DropOrder | None:
        if not (parked := list(parked_events(self.data, ViewType(view_type)))):
            return None
        one = self.dice.choice(parked)
        view_id = None if one.view_id is None else str(one.view_id)
        place = {"sequence": one.sequence, "tenant_id": str(one.tenant_id), "view_id": view_id}
        return DropOrder(view_type=view_type, **place, **BY)

    def give_and_go(self, name: str, order: AnyOrder) -> None:
        """Whoever gives it is gone before there is an answer."""
        connected = control_socket.connect(self.data)
        if connected is None:
            return
        body = msgspec.json.encode(order)
        head = f"POST /v1/operations/{name} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        with connected:
            connected.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            connected.shutdown(socket.SHUT_WR)


class OperatorProcess:
    """An operator at another terminal, who gives some orders, one after the other, and may be killed in the midst of one."""

    def __init__(self, operator: Operator, folder: Path, orders: int) -> None:
        self.log = folder / "operator.log"
        self._process = forks.Process(target=_operate, args=(operator, self.log, orders))
        self._process.start()

    def kill(self) -> None:
        """SIGKILL, wherever it is: also where it changes the folder itself."""
        assert self._process.exitcode is None, self.log.read_text()[-2_000:]  # it does not end by itself
        self._process.kill()
        self._process.join()


def _operate(operator: Operator, log: Path, orders: int) -> None:
    signal.alarm(LIFETIME_S)
    with log.open("a", buffering=1) as sys.stdout, log.open("a", buffering=1) as sys.stderr:
        for _ in range(orders):
            operator.give()
            sleep(operator.dice.uniform(0.0, 0.3))
        signal.pause()
