"""By which door a command gives its orders: to the node that has a data folder, or to the folder where none runs."""

from __future__ import annotations

import getpass
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from projection.engine import orders
from projection.errors import ConfigurationError, ProjectionError, StorageError
from projection.lang.values.plain import plain

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from projection.engine.orders import (
        AdoptCame,
        AdoptOrder,
        BuildCame,
        DeleteOrder,
        DeployCame,
        DeployOrder,
        Done,
        DropCame,
        DropOrder,
        Order,
        PromoteOrder,
        RebuildOrder,
        RetireOrder,
        SwitchCame,
    )

_Came = TypeVar("_Came")
_REFUSED = range(400, 500)


class Door(Protocol):
    """Takes orders."""

    def drop(self, order: DropOrder) -> DropCame:
        """Leave out a parked event."""

    def adopt(self, order: AdoptOrder) -> AdoptCame:
        """Have a corrected program take over the views as they are."""

    def deploy(self, order: DeployOrder) -> DeployCame:
        """Fold what a manifest says from here on."""

    def pause(self, order: Order) -> Done:
        """Fold nothing for a view type until it is resumed."""

    def resume(self, order: Order) -> Done:
        """Go on with a view type that was paused, or that has halted."""

    def rebuild(self, order: RebuildOrder) -> BuildCame:
        """Fold a view type anew, beside the build that answers."""

    def promote(self, order: PromoteOrder) -> SwitchCame:
        """Have the build answer that waits, or that was rolled back."""

    def rollback(self, order: Order) -> SwitchCame:
        """Have the former build answer again."""

    def retire(self, order: RetireOrder) -> BuildCame:
        """Fold the build that follows no longer."""

    def delete(self, order: DeleteOrder) -> BuildCame:
        """Delete a build that does not answer."""


@contextmanager
def door_to(data: Path) -> Iterator[Door]:
    """The door to a data folder that is there: every order is taken there, whether a node runs or not.

    Raises:
        ConfigurationError: there is no such folder.
        StorageError: a node has it that cannot be reached, or it cannot be used.
    """
    from projection.store.control_socket import connect

    if (connected := connect(data)) is not None:
        connection = _Connection(data, connected)
        try:
            yield _OfNode(connection)
        finally:
            connection.close()
        return
    from projection.cli.data_folder import taken
    from projection.engine.offline import OfflineOperations

    with taken(data) as catalog:
        yield OfflineOperations(catalog)


def whoever() -> str:
    """The name of who runs this command, for the audit."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may have no name for its user
        return "unknown"


class _Connection(HTTPConnection):
    """HTTP over the socket in a data folder; one that the node has ended is opened anew for the next order."""

    def __init__(self, data: Path, connected: socket.socket) -> None:
        super().__init__("localhost")
        self._data = data
        self.sock = connected

    def connect(self) -> None:
        from projection.store.control_socket import connect

        if (connected := connect(self._data)) is None:
            raise ConnectionRefusedError("nobody listens in the data folder")
        self.sock = connected


class _OfNode:
    """A node that runs."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def drop(self, order: DropOrder) -> DropCame:
        return self._ordered("drop", order, orders.DropCame)

    def adopt(self, order: AdoptOrder) -> AdoptCame:
        return self._ordered("adopt", order, orders.AdoptCame)

    def deploy(self, order: DeployOrder) -> DeployCame:
        return self._ordered("deploy", order, orders.DeployCame)

    def pause(self, order: Order) -> Done:
        return self._ordered("pause", order, orders.Done)

    def resume(self, order: Order) -> Done:
        return self._ordered("resume", order, orders.Done)

    def rebuild(self, order: RebuildOrder) -> BuildCame:
        return self._ordered("rebuild", order, orders.BuildCame)

    def promote(self, order: PromoteOrder) -> SwitchCame:
        return self._ordered("promote", order, orders.SwitchCame)

    def rollback(self, order: Order) -> SwitchCame:
        return self._ordered("rollback", order, orders.SwitchCame)

    def retire(self, order: RetireOrder) -> BuildCame:
        return self._ordered("retire", order, orders.BuildCame)

    def delete(self, order: DeleteOrder) -> BuildCame:
        return self._ordered("delete", order, orders.BuildCame)

    def _ordered(self, name: str, order: Order | DeployOrder, kind: type[_Came]) -> _Came:
        """What comes of an order.

        Raises:
            ConfigurationError: the node refuses it.
            StorageError: it could not be done, or the node has gone.
        """
        headers = {"content-type": "application/json"}
        try:
            self._connection.request(
                "POST", f"/v1/operations/{name}", msgspec.json.encode(order, enc_hook=plain), headers
            )
            answer = self._connection.getresponse()
            body = answer.read()
        except (OSError, HTTPException) as error:
            raise StorageError(
                f"the node that has the data folder has gone: {error or type(error).__name__}",
                hint="look with `projection audit` whether the order was carried out, and give it again if not",
            ) from None
        if answer.status >= _REFUSED.start:
            raise _refusal(answer.status, body)
        return msgspec.json.decode(body, type=kind)


def _refusal(status: int, body: bytes) -> ProjectionError:
    try:
        found = msgspec.json.decode(body, type=dict)
    except msgspec.DecodeError:
        found = {}
    kind = ConfigurationError if status in _REFUSED else StorageError
    return kind(str(found.get("detail", f"the node answers with status {status}")), hint=found.get("hint"))
