"""Scenario files, `NAME.scenario.yaml` (or .toml, .json): a projection, events, and what is expected of them.

program: fine_summary.proj       # or `manifest: manifest.yaml`
events: events.jsonl             # or a list of events
expect:                          # without it, the scenario's snapshot is what is expected
  views: {fine_summary: {A1: {status: paid}}}
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from msgspec import field

from projection.errors import ConfigurationError
from projection.model.documents import read_document
from projection.model.fields import FieldsInvalidError, Struct, read_struct

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.testing.folding import Folded

ViewsByType = dict[str, dict[str, dict[str, Any] | None]]  # by view type and id; None: there is no such view


class Expect(Struct, frozen=True, kw_only=True):
    """What is expected: of views and parked events, the fields that are named; of gas, at most so much."""

    views: ViewsByType = field(default_factory=dict)  # of the default tenant
    tenants: dict[str, ViewsByType] = field(default_factory=dict)
    parked: list[dict[str, Any]] = field(default_factory=list)
    halted: str | None = None  # a code
    gas: dict[str, int] = field(default_factory=dict)  # by view type


class _Document(Struct, frozen=True, kw_only=True):
    """A scenario as it stands in the file."""

    program: str | None = None
    manifest: str | None = None
    events: str | list[dict[str, Any]]
    expect: Expect | None = None

    def __post_init__(self) -> None:
        if (self.program is None) == (self.manifest is None):
            raise ValueError("a scenario names either a `program` or a `manifest`")


class Scenario(Struct, frozen=True, kw_only=True):
    """A scenario, read and checked."""

    path: Path
    projection: Path
    events: Any
    expect: Expect | None

    @classmethod
    def load(cls, path: Path) -> Self:
        """The scenario in a file.

        Raises:
            ConfigurationError: it cannot be read, or says something that is not known; all that is wrong is named.
        """
        try:
            document = read_struct(_Document, read_document(path, exact=True))
        except FieldsInvalidError as error:
            raise ConfigurationError(f"scenario {path}: {error}") from None
        name = document.program or document.manifest or ""
        events = Path(document.events) if isinstance(document.events, str) else document.events
        return cls(path=path, projection=path.parent / name, events=events, expect=document.expect)

    def run(self, warn: Callable[[str], None]) -> Folded:
        """Fold the events; `warn` takes sentences on likely slips.

        Raises:
            ConfigurationError: the projection cannot be read, or something is no event.
            ProgramInvalidError: a program does not check.
        """
        from projection.testing.folding import Projection  # noqa: PLC0415 - what is only checked is not folded

        if not self.projection.is_file():
            raise ConfigurationError(f"scenario {self.path}: there is no file {self.projection}")
        return Projection.load(self.projection).used_in(self.path.parent, warn).given(self.events)
