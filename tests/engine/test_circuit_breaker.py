"""The circuit breaker: it opens at a failure, probes with one call, and waits for longer each time."""

from __future__ import annotations

import asyncio

import pytest

from projection.engine import breaker as breaker_module
from projection.engine.breaker import FIRST_PAUSE_S, LONGEST_PAUSE_S, CircuitBreaker
from projection.errors import StorageError

FULL = StorageError("the disk is full")


@pytest.fixture
def pauses(monkeypatch):
    """How long the breaker would wait, instead of waiting."""
    found: list[float] = []

    async def sleep(seconds: float) -> None:
        found.append(seconds)

    monkeypatch.setattr(breaker_module.asyncio, "sleep", sleep)
    return found


async def test_closed_it_lets_every_call_through_at_once(pauses):
    breaker = CircuitBreaker()
    for _ in range(3):
        await breaker.admit()
        breaker.succeeded()
    assert ([], None) == (pauses, breaker.trouble)


async def test_each_failure_has_the_next_probe_wait_twice_as_long_up_to_a_bound(pauses):
    breaker = CircuitBreaker()
    for _ in range(12):
        breaker.failed(FULL)
        await breaker.admit()
    longest = [min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**number) for number in range(12)]
    assert all(bound / 2 <= pause <= bound for pause, bound in zip(pauses, longest, strict=True))
    assert LONGEST_PAUSE_S / 2 <= pauses[-1]


async def test_pauses_are_jittered_so_that_many_do_not_probe_at_once(pauses):
    for _ in range(20):
        breaker = CircuitBreaker()
        breaker.failed(FULL)
        await breaker.admit()
    assert len(set(pauses)) > 10


async def test_a_probe_that_goes_well_closes_it(pauses):
    breaker = CircuitBreaker()
    breaker.failed(FULL)
    breaker.failed(FULL)
    assert FULL is breaker.trouble
    await breaker.admit()
    breaker.succeeded()
    assert breaker.trouble is None
    await breaker.admit()
    assert 1 == len(pauses)


async def test_it_tells_when_it_opens_and_when_it_closes_and_not_at_every_call():
    told: list[bool] = []
    breaker = CircuitBreaker(lambda: told.append(breaker.trouble is not None))
    breaker.succeeded()
    breaker.failed(FULL)
    breaker.succeeded()
    breaker.succeeded()
    assert [True, False] == told
    await asyncio.sleep(0)
