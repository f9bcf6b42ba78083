"""Tenant, view type and view id: texts that are valid by construction and compare, hash, copy and pickle as texts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Self

from projection.model.escaping import escape_part

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import core_schema

_VIEW_TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}")


class _Id(str):
    """A text with a rule; the rule is checked once, where the value is made."""

    __slots__ = ()
    what: ClassVar[str]

    def __new__(cls, value: str = "") -> Self:
        if not isinstance(value, str):
            raise TypeError(f"{cls.what} is a text, not {type(value).__name__}")
        if type(value) is not cls and (problem := cls.problem(value)) is not None:
            raise ValueError(f"{cls.what} {value!r} {problem}")
        return super().__new__(cls, value)

    @classmethod
    def problem(cls, value: str) -> str | None:
        """What is wrong with this text as such an id; None when nothing is."""
        try:
            value.encode()
        except UnicodeEncodeError:
            return "holds a lone surrogate, which no UTF-8 text can"
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str.__repr__(self)})"

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: type[Any], _handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        from pydantic_core import core_schema  # noqa: PLC0415 - whoever asks has it, and ids alone need it not

        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema(strict=True))


class TenantId(_Id):
    """A tenant: any string of at most 200 bytes once escaped for a key. The empty one is the default tenant."""

    __slots__ = ()
    what = "tenant id"

    @classmethod
    def problem(cls, value: str) -> str | None:
        """See `_Id.problem`."""
        if (problem := super().problem(value)) is not None:
            return problem
        return "is longer than 200 bytes" if len(escape_part(value).encode()) > 200 else None


def tenant_of_event(text: str) -> TenantId:
    """The tenant that an event names, by its subject or in its envelope.

    HTTP takes blanks and tabs off the ends of a header's value: whoever asks for the tenant ` north` would be answered
    with the views of `north`. So no event makes such a tenant.

    Raises:
        ValueError: no tenant has this id.
    """
    if text != text.strip(" \t"):
        raise ValueError(f"tenant id {text!r} begins or ends with a blank")
    return TenantId(text)


class ViewType(_Id):
    """The name of a manifest entry: a lower-case identifier of at most 64 characters."""

    __slots__ = ()
    what = "view type"

    @classmethod
    def problem(cls, value: str) -> str | None:
        """See `_Id.problem`."""
        return None if _VIEW_TYPE.fullmatch(value) else "is not a lower-case identifier of at most 64 characters"


class ViewId(_Id):
    """The name of one view of its type: any text but the empty one. Its length is bounded by the key it makes."""

    __slots__ = ()
    what = "view id"

    @classmethod
    def problem(cls, value: str) -> str | None:
        """See `_Id.problem`."""
        return super().problem(value) or (None if value else "is empty")


DEFAULT_TENANT = TenantId("")
