"""What settings are made of: numbers that are no truth values, lists that may be written as one text."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_settings import NoDecode


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"{value} is not a number")  # noqa: TRY004 - pydantic takes ValueError for "does not fit"
    return value


def _split(value: Any) -> Any:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


Count = Annotated[int, BeforeValidator(_no_bool)]
ByCommas = (NoDecode, BeforeValidator(_split))  # of a list; as one text, its items are separated by commas
