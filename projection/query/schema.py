"""The schema of a view type, as queries use it: paths into it, decoding of some fields only, and its JSON Schema."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Self

from projection.lang import types as ty
from projection.lang.check.checker import scope_of
from projection.lang.run.compiler import Compiled
from projection.lang.schemas.json_schema import of_record
from projection.lang.source import Source
from projection.lang.values.codec import Codec
from projection.lang.values.structs import build_structs
from projection.query.errors import QueryInvalidError
from projection.query.paths import ViewPath, resolved

if TYPE_CHECKING:
    from collections.abc import Callable

    from projection.lang.check.checker import CheckedProgram, Scope
    from projection.query.form import Steps

_PATHS = 256  # kept resolved
_DECODERS = 64  # kept: as many sets of fields as the queries of one time may read


class ViewSchema:
    """What a program says of its views. It belongs to one build, and is never changed."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.functions = Compiled(scope.checked.core.functions)  # of the program, compiled when a filter calls them
        self._paths = lru_cache(_PATHS)(partial(resolved, scope.checked.view))
        self.decoder: Callable[[frozenset[str]], Callable[[bytes], Any]] = lru_cache(_DECODERS)(self._decoder)

    @classmethod
    def of(cls, name: str, text: str) -> Self:
        """The schema of a program's text; `name` is what messages call it.

        Raises:
            ProgramInvalidError: it is no program.
        """
        return cls(scope_of(Source(name, text)))

    @property
    def program(self) -> CheckedProgram:
        """The program."""
        return self.scope.checked

    @property
    def record(self) -> ty.Record:
        """The view."""
        return self.scope.checked.view

    @property
    def digest(self) -> str:
        """Of the program."""
        return self.scope.checked.digest

    def resolve(self, steps: Steps, pointer: str = "") -> ViewPath:
        """What the steps of a path lead to; `pointer` is where the query writes them.

        Raises:
            QueryInvalidError: they lead nowhere.
        """
        try:
            return self._paths(steps)
        except QueryInvalidError as error:
            error.pointer = pointer
            raise

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of a view's JSON."""
        return of_record(self.record)

    def _decoder(self, fields: frozenset[str]) -> Callable[[bytes], Any]:
        """`decoder(fields)`: what makes a view of its stored JSON, with these of its own fields and no others.

        It raises DecodeError: the bytes are no such view.
        """
        record = self.record
        if fields >= record.fields.keys():
            return Codec(record).decode
        kept = {name: field for name, field in record.fields.items() if name in fields}
        part = ty.Record(record.name, record.kind, kept, record.line, record.from_outside)
        build_structs([part])
        return Codec(part).decode
