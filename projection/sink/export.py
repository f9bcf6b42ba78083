"""The views of a type at one position in a file of JSON lines, CSV or Parquet, however many, in little memory."""

from __future__ import annotations

import csv
import io
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from projection.errors import ConfigurationError
from projection.model.keys import VIEWS, ViewKey, owner_and_id
from projection.store.ranges import after

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from projection.lang import types as ty
    from projection.model.checkpoint import LanePosition
    from projection.model.ids import TenantId, ViewType
    from projection.query.serving import Served

TENANT, ID = "tenant_id", "id"


def head(names: Sequence[str]) -> tuple[str, str]:
    """What the columns of tenant and id are called beside fields of these names."""
    return (f"${TENANT}" if TENANT in names else TENANT, f"${ID}" if ID in names else ID)


class Exported(NamedTuple):
    """What stands in a file."""

    views: int
    position: LanePosition


class Writer(Protocol):
    """Writes views one by one."""

    def write(self, tenant_id: str, view_id: str, view: bytes) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


def export(served: Served, view_type: ViewType, tenant_id: TenantId | None, writer: Writer) -> Exported:
    """Write the views of one tenant, or of all, as they are at one position, in the order of tenants and ids.

    The picture of the store is held until the last view is written: meanwhile its pages are not used again.

    Raises:
        StorageError: the store cannot be read.
    """
    prefix = VIEWS if tenant_id is None else ViewKey.prefix(tenant_id, view_type)
    count = 0
    with closing(writer), served.reader.snapshot() as snapshot:
        position = snapshot.position
        for key, view in snapshot.entries(prefix, after(prefix)):
            writer.write(*owner_and_id(key), view)
            count += 1
    return Exported(count, position)


@contextmanager
def whole_file(file: Path) -> Iterator[BinaryIO]:
    """A file to write, which appears under its name once it is whole; a failure leaves nothing.

    Raises:
        ConfigurationError: it is there already, or cannot be written.
    """
    if file.exists():
        raise ConfigurationError(f"{file} exists already", hint="name another file, or remove this one")
    draft = file.with_name(f"{file.name}.part")
    try:
        with draft.open("wb") as out:
            yield out
        draft.replace(file)
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)


class JsonLines:
    """One JSON object a line: tenant, id, and the view digit by digit as it is stored."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def write(self, tenant_id: str, view_id: str, view: bytes) -> None:
        """See `Writer`."""
        line = {TENANT: tenant_id, ID: view_id, "view": msgspec.Raw(view)}
        self._out.write(msgspec.json.encode(line) + b"\n")

    def close(self) -> None:
        """See `Writer`."""


class Csv:
    """RFC 4180 in UTF-8: tenant, id, and a column for each field; what is no single value is JSON."""

    def __init__(self, out: BinaryIO, record: ty.Record) -> None:
        self._out = out
        self._names = sorted(record.fields)
        self._decode = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
        self._line = io.StringIO(newline="")  # a lone CR in a field would else not be quoted
        self._csv = csv.writer(self._line)
        self._row([*head(self._names), *self._names])

    def write(self, tenant_id: str, view_id: str, view: bytes) -> None:
        """See `Writer`."""
        fields = self._decode(view)
        self._row([tenant_id, view_id, *(_cell(fields.get(name)) for name in self._names)])

    def _row(self, cells: list[str]) -> None:
        self._csv.writerow(cells)
        self._out.write(self._line.getvalue().encode())
        self._line.seek(0)
        self._line.truncate()

    def close(self) -> None:
        """See `Writer`."""


def _cell(value: msgspec.Raw | None) -> str:
    """A text as it is; all else as its JSON, nothing for none."""
    if value is None or (data := bytes(value)) == b"null":
        return ""
    return msgspec.json.decode(data, type=str) if data.startswith(b'"') else data.decode()
