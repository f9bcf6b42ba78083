"""A build's recipe: what it was folded by, kept with the build, so that it can go on and be read without any file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from projection.model.manifest import recorded_view

if TYPE_CHECKING:
    from collections.abc import Mapping

    from projection.model.manifest import ManifestView


@dataclass(frozen=True, slots=True)
class RecipeProgram:
    """A program's text, the name of its file, and the digest that whoever checked it gave it."""

    name: str
    text: str
    digest: str


@dataclass(frozen=True, slots=True)
class RecipeTenancy:
    """Whether tenants exist, and which one events without a tenant belong to."""

    enabled: bool = True
    default: str = ""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that is needed to fold a view type again, and to understand its views."""

    manifest: Mapping[str, Any]  # the entry, as JSON values
    tenancy: RecipeTenancy
    program: RecipeProgram

    @property
    def entry(self) -> ManifestView:
        """The manifest's entry; a key that the version which wrote the recipe did not know has its default.

        Raises:
            ValueError: the recipe holds no such entry.
        """
        try:
            return recorded_view(self.manifest, Path(self.program.name))
        except (KeyError, TypeError) as error:
            raise ValueError(f"its manifest entry cannot be read: {error}") from None

    @property
    def base_identity(self) -> str:
        """Hash everything that the state depends on but an operator's decisions.

        Whatever is at its default is left out, so that no release changes an identity by adding a setting.

        Raises:
            ValueError: the recipe holds no manifest entry.
        """
        default = RecipeTenancy()
        tenancy = {
            f"tenancy.{name}": value for name, value in asdict(self.tenancy).items() if value != getattr(default, name)
        }
        terms = {"program": self.program.digest, **self.entry.fold_terms(), **tenancy}
        return sha256(json.dumps(terms, sort_keys=True).encode()).hexdigest()

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
