"""By which door a command gives its orders: to the node that has a data folder, or to the folder where none runs."""

from __future__ import annotations

import getpass
from contextlib import contextmanager
from decimal import Decimal
from http.client import HTTPConnection, HTTPException
from time import sleep
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from projection.engine import outcomes
from projection.engine.tasks import State, TaskRecord, encoded
from projection.errors import ConfigurationError, ErrorClass, ProjectionError, StorageError
from projection.lang.values.plain import plain

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from projection.engine.backup import Copying
    from projection.engine.orders import (
        AdoptOrder,
        BackupOrder,
        CompactOrder,
        DeleteOrder,
        DeployOrder,
        DropOrder,
        LogLevelOrder,
        Order,
        PromoteOrder,
        RebuildOrder,
        ReloadOrder,
        RepairOrder,
        RetireOrder,
        VerifyOrder,
    )
    from projection.engine.outcomes import (
        AdoptCame,
        BackupCame,
        BuildCame,
        CompactCame,
        DeployCame,
        Done,
        DropCame,
        LogLevelCame,
        RepairCame,
        SwitchCame,
        VerifyCame,
    )
    from projection.model.settings import Settings
    from projection.stream.address import NatsConnection

_Came = TypeVar("_Came")
_REFUSED = range(400, 500)
_ASKED_EVERY_S = 0.25


class Door(Protocol):
    """Takes operators' orders, for a node or for the folder where none runs.

    Each call returns once the order is carried out. It raises ConfigurationError where the order is refused and nothing
    has changed, and StorageError where it could not be carried out, or the node ended before it answered.
    """

    def drop(self, order: DropOrder) -> DropCame:
        """Leave out a parked event."""

    def adopt(self, order: AdoptOrder) -> AdoptCame:
        """Let a corrected program adopt the views."""

    def deploy(self, order: DeployOrder) -> DeployCame:
        """Deploy a manifest."""

    def pause(self, order: Order) -> Done:
        """Pause a view type."""

    def resume(self, order: Order) -> Done:
        """Resume a view type that was paused or has halted."""

    def rebuild(self, order: RebuildOrder, connect: Callable[[], NatsConnection] | None = None) -> BuildCame:
        """Rebuild a view type; where no node runs, a bucket is reached by the connection."""

    def promote(self, order: PromoteOrder) -> SwitchCame:
        """Have the build answer that waits, or that was rolled back."""

    def rollback(self, order: Order) -> SwitchCame:
        """Roll back to the former build."""

    def retire(self, order: RetireOrder) -> BuildCame:
        """Stop folding the build that follows."""

    def delete(self, order: DeleteOrder) -> BuildCame:
        """Delete a build that does not answer."""

    def repair(self, order: RepairOrder, settings: Settings) -> RepairCame:
        """Put right what a build holds otherwise than the log; where no node runs, the settings say where that is."""

    def compact(self, order: CompactOrder, on_progress: Callable[[Copying], None] | None = None) -> CompactCame:
        """Return free pages of stores to the file system."""

    def backup(
        self,
        order: BackupOrder,
        on_progress: Callable[[Copying], None] | None = None,
        connection: NatsConnection | None = None,
    ) -> BackupCame:
        """Back up the data folder; where no node runs, a bucket is reached by the connection."""


@contextmanager
def door_to(data: Path) -> Iterator[Door]:
    """The door to a data folder that is there: every order is taken there, whether a node runs or not.

    Raises:
        ConfigurationError: there is no such folder.
        StorageError: a node has it that cannot be reached, or it cannot be used.
    """
    with running_node(data) as node:
        if node is not None:
            yield node
            return
    from projection.cli.data_folder import taken
    from projection.cli.offline_door import OfflineDoor

    with taken(data) as catalog:
        yield OfflineDoor(catalog)


@contextmanager
def running_node(data: Path) -> Iterator[_OfNode | None]:
    """The node that has a data folder; None where none runs.

    Raises:
        StorageError: a node has it that cannot be reached.
    """
    from projection.store.control_socket import connect

    if (connected := connect(data)) is None:
        yield None
        return
    connection = _Connection(data, connected)
    try:
        yield _OfNode(connection)
    finally:
        connection.close()


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


class _Tasks(msgspec.Struct, frozen=True):
    operations: list[TaskRecord]


class _OfNode:
    """Implements `Door`: a node that runs."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def drop(self, order: DropOrder) -> DropCame:
        return self._ordered("drop", order, outcomes.DropCame)

    def adopt(self, order: AdoptOrder) -> AdoptCame:
        return self._ordered("adopt", order, outcomes.AdoptCame)

    def deploy(self, order: DeployOrder) -> DeployCame:
        return self._ordered("deploy", order, outcomes.DeployCame)

    def reload(self, order: ReloadOrder) -> DeployCame:
        """Fold what its own manifest says by now."""
        return self._ordered("reload", order, outcomes.DeployCame)

    def log_level(self, order: LogLevelOrder) -> LogLevelCame:
        """Write lines of its log from another level on."""
        return self._ordered("log-level", order, outcomes.LogLevelCame)

    def pause(self, order: Order) -> Done:
        return self._ordered("pause", order, outcomes.Done)

    def resume(self, order: Order) -> Done:
        return self._ordered("resume", order, outcomes.Done)

    def rebuild(self, order: RebuildOrder, _connect: Callable[[], NatsConnection] | None = None) -> BuildCame:
        return self._ordered("rebuild", order, outcomes.BuildCame)

    def promote(self, order: PromoteOrder) -> SwitchCame:
        return self._ordered("promote", order, outcomes.SwitchCame)

    def rollback(self, order: Order) -> SwitchCame:
        return self._ordered("rollback", order, outcomes.SwitchCame)

    def retire(self, order: RetireOrder) -> BuildCame:
        return self._ordered("retire", order, outcomes.BuildCame)

    def delete(self, order: DeleteOrder) -> BuildCame:
        return self._ordered("delete", order, outcomes.BuildCame)

    def repair(self, order: RepairOrder, settings: Settings) -> RepairCame:  # noqa: ARG002 - the node knows its log
        return self._ordered("repair", order, outcomes.RepairCame)

    def tasks(self) -> list[TaskRecord]:
        """Its long operations, the oldest first."""
        return self._asked("GET", "", _Tasks).operations

    def task(self, task_id: str) -> TaskRecord:
        """One of them."""
        return self._asked("GET", f"/{quote(task_id, safe='')}", TaskRecord)

    def cancel(self, task_id: str, by: str, reason: str = "") -> TaskRecord:
        """Cancel one of them."""
        told = urlencode({"by": by, "reason": reason})
        return self._asked("DELETE", f"/{quote(task_id, safe='')}?{told}", TaskRecord)

    def _asked(self, method: str, target: str, kind: type[_Came]) -> _Came:
        """What the node answers.

        Raises:
            ConfigurationError, StorageError: as `_ordered`.
        """
        return _decoded(self._exchange(method, f"/v1/operations{target}", None), kind)

    def backup(
        self,
        order: BackupOrder,
        on_progress: Callable[[Copying], None] | None = None,
        _connection: NatsConnection | None = None,
    ) -> BackupCame:
        return self._followed("backup", order, outcomes.BackupCame, on_progress)

    def compact(self, order: CompactOrder, on_progress: Callable[[Copying], None] | None = None) -> CompactCame:
        return self._followed("compact", order, outcomes.CompactCame, on_progress)

    def verify(self, order: VerifyOrder) -> VerifyCame:
        """Verify the builds that answer, while the node goes on."""
        return self._ordered("verify", order, outcomes.VerifyCame)

    def _followed(
        self,
        name: str,
        order: BackupOrder | CompactOrder,
        kind: type[_Came],
        on_progress: Callable[[Copying], None] | None,
    ) -> _Came:
        """What comes of a long order, whose progress is told until then.

        Raises:
            ConfigurationError, StorageError: as `_ordered`.
        """
        from projection.engine.backup import Copying

        body = msgspec.json.encode(order, enc_hook=plain)
        task = _decoded(self._exchange("POST", f"/v1/operations/{name}", body, prefer="respond-async"), TaskRecord)
        while not task.has_ended:
            sleep(_ASKED_EVERY_S)
            task = self.task(task.id)
            if task.total is not None and on_progress is not None:
                on_progress(Copying(task.done or 0, task.total))
        if task.state == State.DONE:
            return _decoded(encoded(task.result), kind)
        kind_of_error = ConfigurationError if task.error_class == ErrorClass.CONFIGURATION else StorageError
        raise kind_of_error(task.error or f"operation {task.id} was {task.state}", hint=task.hint)

    def _ordered(self, name: str, order: Order | ReloadOrder | LogLevelOrder | VerifyOrder, kind: type[_Came]) -> _Came:
        """What comes of an order.

        Raises:
            ConfigurationError: the node refuses it.
            StorageError: it could not be done, or the node has gone.
        """
        body = msgspec.json.encode(order, enc_hook=plain)
        return _decoded(self._exchange("POST", f"/v1/operations/{name}", body), kind)

    def _exchange(self, method: str, target: str, body: bytes | None, **wishes: str) -> bytes:
        headers = wishes if body is None else {"content-type": "application/json", **wishes}
        try:
            self._connection.request(method, target, body, headers)
            answer = self._connection.getresponse()
            came = answer.read()
        except (OSError, HTTPException) as error:
            raise StorageError(
                f"the node on the data folder ended before it answered: {_reason(error)}",
                hint="look with `projection audit` whether the order was carried out, and give it again if not",
            ) from None
        if answer.status >= _REFUSED.start:
            raise _refusal(answer.status, came)
        return came


def _reason(error: OSError | HTTPException) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _decoded(data: bytes, kind: type[_Came]) -> _Came:
    return msgspec.json.Decoder(kind, float_hook=Decimal).decode(data)  # results have the numbers of views


def _refusal(status: int, body: bytes) -> ProjectionError:
    try:
        found = msgspec.json.decode(body, type=dict)
    except msgspec.DecodeError:
        found = {}
    kind = ConfigurationError if status in _REFUSED else StorageError
    return kind(str(found.get("detail", f"the node answers with status {status}")), hint=found.get("hint"))
