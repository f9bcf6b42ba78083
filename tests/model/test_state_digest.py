"""The state digest: a sum that forgets order and history, and nothing else."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.keys import ViewKey
from projection.model.state_digest import StateDigest, entry_digest
from projection.testing.hostile_ids import tenant_ids, view_ids

_ORDERS = ViewType("orders")
_entries = st.dictionaries(
    st.builds(ViewKey, tenant_ids(), st.just(_ORDERS), view_ids()).map(ViewKey.encode), st.binary(max_size=40)
)


def _digest(entries: dict[bytes, bytes]) -> StateDigest:
    return StateDigest.EMPTY.plus(sum(entry_digest(key, value) for key, value in entries.items()))


@given(entries=_entries, seed=st.integers(0, 99))
def test_the_order_of_entries_does_not_matter(entries: dict[bytes, bytes], seed: int) -> None:
    shuffled = list(entries.items())
    Random(seed).shuffle(shuffled)
    digest = StateDigest.EMPTY
    for key, value in shuffled:
        digest = digest.plus(entry_digest(key, value))
    assert _digest(entries) == digest


@given(entries=_entries, gone=_entries)
def test_what_was_added_and_taken_away_leaves_no_trace(entries: dict[bytes, bytes], gone: dict[bytes, bytes]) -> None:
    there = _digest(entries)
    for key, value in gone.items():
        there = there.plus(entry_digest(key, value))
    for key, value in gone.items():
        there = there.plus(-entry_digest(key, value))
    assert _digest(entries) == there


@given(entries=_entries, others=_entries)
def test_other_entries_have_another_digest(entries: dict[bytes, bytes], others: dict[bytes, bytes]) -> None:
    assert (entries == others) == (_digest(entries) == _digest(others))


def test_a_byte_that_moves_from_the_value_to_the_key_changes_the_digest() -> None:
    key = ViewKey(TenantId("acme"), _ORDERS, ViewId("1")).encode()
    assert entry_digest(key, b"2{}") != entry_digest(key + b"2", b"{}")


@given(total=st.integers(0, 2**256 - 1) | st.integers(0, 9))
def test_its_text_is_64_digits_and_can_be_read_again(total: int) -> None:
    digest = StateDigest(total)
    assert len(str(digest)) == 64
    assert StateDigest.parse(str(digest)) == digest


@pytest.mark.parametrize(
    "text", ["", "0" * 63, "0" * 65, "G" * 64, "A" * 64, "-" + "0" * 63, "0x" + "0" * 62, "٣" * 64]
)
def test_a_text_that_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a state digest"):
        StateDigest.parse(text)


def test_it_stays_below_256_bits_and_above_nothing() -> None:
    assert StateDigest(2**256 - 1).plus(2) == StateDigest(1)
    assert StateDigest.EMPTY.plus(-1) == StateDigest(2**256 - 1)


def test_it_is_the_same_on_every_machine() -> None:
    """Stores of different machines are compared by it; `printf KEY\\0VALUE | b2sum -l 256` gives this number."""
    digest = StateDigest.EMPTY.plus(entry_digest(b"view:acme:orders:1", b'{"total":1}'))
    assert str(digest) == "0b88fe42b2d079a0406594cb9d28227af48bfd41e6026108edd0eeb6119687c8"
