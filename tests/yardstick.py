"""How much work something is, told so that neither a slow nor a busy machine changes it much.

Counted is processor time, in steps of a plain loop that is run right before and after on the same machine. Bounds on it
leave room for five to ten times what was measured; speed itself is the business of `make bench`.
"""

from __future__ import annotations

from time import process_time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

A_LOT = (
    500_000_000  # steps, some 15 s: ten times what the slowest of the hostile cases takes; what explodes takes hours
)
_STEPS = 20_000


def seconds_of_a_step() -> float:
    """Processor time that a step of the loop takes now: about 40 ns."""
    before, total = process_time(), 0
    for number in range(_STEPS):
        total += number & 3
    return (process_time() - before) / _STEPS


def steps(work: Callable[[], object]) -> int:
    """How many steps of the loop take as long as some work."""
    of_a_step, before = seconds_of_a_step(), process_time()
    work()
    taken = process_time() - before
    return int(taken / max(of_a_step, seconds_of_a_step()))
