"""`projection explain`: what a code means, and what to do about it."""

from __future__ import annotations

from typing import Annotated

from projection.cli.parameters import Argument
from projection.errors import ConfigurationError

EXAMPLES = (
    "projection explain N204",
    "projection explain",
)


def explain(
    code: Annotated[str | None, Argument(help="The code of a diagnostic or a parked event (default: all).")] = None,
) -> None:
    """Say what the code of an error means, and what to do.

    Warnings have codes, too. The text is that of docs/errors.md. Exit status: 0 done, 2 there is no such code.
    """
    from projection.cli.console import print_markdown, say
    from projection.cli.explanations import explanations
    from projection.lang.reporting import closest

    known = explanations()
    if code is None:
        say("\n".join(f"{one.code}  {one.summary.replace('`', '')}" for one in known.values()))
        return
    found = known.get(code.strip("[]").upper())
    if found is None:
        near = closest(code.upper(), known)
        raise ConfigurationError(
            f"there is no code {code!r}",
            hint=f"did you mean {near}?" if near else "`projection explain` lists them all",
        )
    print_markdown(f"# {found.code}\n\n{found.text}\n")
