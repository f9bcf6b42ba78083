"""Who wants to be alone in an environment waits for those inside, and keeps newcomers out only as long as it takes."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, Event
from time import monotonic

import pytest
from patience import WITHIN_S

from projection.store.gate import Gate, OccupiedError, ShutError


def test_nobody_is_inside_while_one_is_alone() -> None:
    """Eight threads go in and out, half of them alone; together they never break the rule."""
    gate, inside, start = Gate(), [], Barrier(8)

    def visit() -> None:
        start.wait()
        for _ in range(300):
            entry = gate.enter()
            inside.append(entry)
            inside.remove(entry)
            gate.leave(entry)

    def be_alone() -> None:
        start.wait()
        for _ in range(100):
            with gate.alone(patience=WITHIN_S):
                assert inside == []

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(task) for task in (visit, be_alone) * 4]:
            done.result(timeout=WITHIN_S)


def test_newcomers_wait_for_the_one_who_wants_to_be_alone() -> None:
    gate, alone, may_end = Gate(), Event(), Event()

    def be_alone() -> None:
        with gate.alone(patience=WITHIN_S):
            alone.set()
            may_end.wait(WITHIN_S)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(be_alone)
        alone.wait(WITHIN_S)
        newcomer = pool.submit(gate.enter)
        assert not newcomer.done()
        may_end.set()
        first.result(timeout=WITHIN_S)
        gate.leave(newcomer.result(timeout=WITHIN_S))


def test_who_is_inside_cannot_be_alone_and_learns_it_at_once() -> None:
    gate = Gate()
    entry, began = gate.enter(), monotonic()
    with pytest.raises(OccupiedError), gate.alone(patience=WITHIN_S):
        pass
    assert monotonic() - began < WITHIN_S / 2  # and not when its patience ended
    gate.leave(entry)
    with gate.alone(patience=0):
        pass


def test_patience_ends_and_the_gate_is_open_again() -> None:
    gate = Gate()

    def be_alone() -> None:
        with gate.alone(patience=0.01):
            pass

    with ThreadPoolExecutor(1) as pool:
        entry = gate.enter()
        with pytest.raises(OccupiedError):
            pool.submit(be_alone).result()
        gate.leave(pool.submit(gate.enter).result(timeout=WITHIN_S))
        gate.leave(entry)
        pool.submit(be_alone).result()


def test_a_shut_gate_lets_nobody_in() -> None:
    """Not even who was inside before, and not who waits to be alone."""
    gate = Gate()
    gate.enter()
    gate.shut(patience=WITHIN_S)  # does not wait for its own thread
    gate.shut(patience=WITHIN_S)
    with pytest.raises(ShutError):
        gate.enter()
    gate = Gate()
    gate.shut(patience=0)
    with pytest.raises(ShutError), gate.alone(patience=0):
        pass


def test_shutting_waits_for_other_threads() -> None:
    gate, shut = Gate(), Event()

    def shut_it() -> None:
        gate.shut(patience=WITHIN_S)
        shut.set()

    with ThreadPoolExecutor(1) as pool:
        entry = gate.enter()
        pool.submit(shut_it)
        with suppress(ShutError):
            while True:  # until the other thread has come so far
                gate.leave(gate.enter())
        assert not shut.is_set()
        gate.leave(entry)
        assert shut.wait(WITHIN_S)
