"""Counting what a value is made of: the same as one by one, and bounded by what can be paid and by what there is."""

from __future__ import annotations

import random
from typing import Any

import pytest
from yardstick import steps

from projection.lang.cost.node_counts import compared_nodes, fewer_nodes, nodes
from projection.lang.library import BUILTINS, FORMS, OPERATORS

STEPS = 200_000  # a hundred times what is taken; one by one it takes millions


def one_by_one(value: Any, most: int) -> int:
    count, waiting = 0, [value]
    while waiting and count <= most:
        one = waiting.pop()
        count += 1
        if isinstance(one, str):
            count += len(one) >> 5
        elif isinstance(one, (list, dict)):
            waiting += one.values() if isinstance(one, dict) else one
    return count


def some_value(chance: random.Random) -> Any:
    """Lists and maps of one another, whose parts are shared more or less."""
    found: list[Any] = [1, "a" * chance.randrange(100), None]
    for _ in range(chance.randrange(1, 25)):
        parts = [chance.choice(found[-chance.randrange(1, 6) :]) for _ in range(chance.randrange(9))]
        found.append(parts if chance.random() < 0.7 else {str(key): part for key, part in enumerate(parts)})
    return found[-1]


def doubled(times: int) -> list[Any]:
    found: list[Any] = [1]
    for _ in range(times):
        found = [found, found]
    return found


def test_values_are_counted_as_one_by_one() -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(300):
        one, other, most = some_value(chance), some_value(chance), chance.choice([10, 1_000, 20_000])
        plain = [one_by_one(value, most) for value in (one, other)]
        for counted, right in (
            (nodes(one, most), plain[0]),
            (fewer_nodes(one, other, most), min(plain)),
            (compared_nodes(one, [0, 1, 2], 3 * most), 3 * plain[0]),
        ):
            assert counted == right or min(counted, right) > most


@pytest.mark.parametrize("times", [18, 30, 300])
def test_what_is_shared_is_looked_at_once_and_of_two_values_the_smaller_is_counted(times: int) -> None:
    one, other, flat = doubled(times), doubled(times), [[1]] * 10 + [[n] for n in range(100_000)]
    assert steps(lambda: nodes(one, 2**20)) < STEPS
    assert steps(lambda: fewer_nodes(one, other, 2**20)) < STEPS
    assert steps(lambda: [fewer_nodes(big, [[]], 2**20) for _ in range(10) for big in (one, flat)]) < STEPS


@pytest.mark.parametrize("left", [999, 1_000, 200_000, 500_000])
def test_whoever_cannot_pay_for_a_comparison_is_charged_more_than_is_left(left: int) -> None:
    """Else the comparison runs, and of values that share their parts it does not end."""
    one, other = doubled(40), doubled(40)
    operands = {
        "same_parts": (one, other), "same_json": (one, other), "index_of": ([other], one), "in": (one, [other]),
    }  # fmt: skip
    for table in (BUILTINS, FORMS, OPERATORS):
        for operation in (
            each for some in table.values() for each in (some if isinstance(some, (list, tuple)) else [some])
        ):
            if operation.name in operands and operation.gas.name in ("min nodes", "product"):
                assert operation.gas.sized(operands[operation.name], left) > left, operation.name
