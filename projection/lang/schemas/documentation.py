"""The doc comments (`##`) of a program, for those who read about its views and events elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from projection.lang.syntax import nodes as syn
from projection.lang.syntax.parser import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from projection.lang import types as ty
    from projection.lang.source import Source


@dataclass(frozen=True, slots=True)
class Documentation:
    """What stands above the declarations of records, and above fields on lines of their own."""

    texts: Mapping[tuple[str, str], str] = field(default_factory=dict)  # by record and field; `""` is the record itself

    @classmethod
    def of_program(cls, source: Source) -> Self:
        """The comments of a program that checks."""
        declared = (syn.Event, syn.Record, syn.View)
        texts: dict[tuple[str, str], str] = {}
        for one in parse(source)[0].declarations:
            if isinstance(one, declared):
                texts[one.name, ""] = source.doc(one.span.start)
                first = source.position(one.span.start)[0]
                for each in one.fields:
                    if source.position(each.span.start)[0] != first:  # else it is the record's
                        texts[one.name, each.name] = source.doc(each.span.start)
        return cls(texts)

    def of(self, record: ty.Record, field: ty.Field | None = None) -> str:
        """The comment of a record, or of a field of it; empty where there is none."""
        return self.texts.get((record.name, "" if field is None else field.name), "")


UNDOCUMENTED = Documentation()
