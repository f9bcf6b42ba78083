"""Chance in waiting: clients that failed together are not to come back together."""

from __future__ import annotations

from random import Random

# Of our own: whoever seeds the generator that all modules share is to get the numbers that come of the seed.
CHANCE = Random()  # noqa: S311 - jitter, not a secret


def jittered(seconds: float) -> float:
    """Half of a time to all of it."""
    return seconds * CHANCE.uniform(0.5, 1.0)
