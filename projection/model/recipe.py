"""A build's recipe: what it was folded by, kept with the build, so that it can go on and be read without any file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class RecipeProgram:
    """A program's text, the name of its file, and the digest that whoever checked it gave it."""

    name: str
    text: str
    digest: str


@dataclass(frozen=True, slots=True)
class RecipeTenancy:
    """Whether tenants exist, and which one events without a tenant belong to."""

    enabled: bool
    default: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that is needed to fold a view type again, and to understand its views."""

    manifest: Mapping[str, Any]  # the entry, as JSON values
    tenancy: RecipeTenancy
    program: RecipeProgram

    def encode(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def decode(cls, text: str) -> Self:
        """The inverse of `encode`.

        Raises:
            ValueError: the text is no recipe.
        """
        try:
            fields = json.loads(text)
            return cls(fields["manifest"], RecipeTenancy(**fields["tenancy"]), RecipeProgram(**fields["program"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{text[:80]!r} is no recipe of a build: {error}") from None
