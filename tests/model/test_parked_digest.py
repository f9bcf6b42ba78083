"""Parked events: what of them a state consists of."""

from itertools import combinations

import pytest

from projection.errors import ErrorClass
from projection.model.ids import TenantId, ViewId, ViewType
from projection.model.parked import Disposition, ParkedEvent, parked_digest

EVENT = ParkedEvent(
    tenant_id=TenantId("acme"),
    view_type=ViewType("orders"),
    view_id=ViewId("1"),
    sequence=7,
    error_class=ErrorClass.DATA,
    code="D105",
    message="Invalid UTF-8",
    span=None,
    fold_identity="f0",
    disposition=Disposition.PARKED,
    subject="tenant.acme.aggregate.order.1",
    envelope=b"\xff{",
)
WORDS = [{"message": "in other words"}, {"span": "orders.proj:3:1"}, {"fold_identity": "f1"}]
FACTS = [
    {"tenant_id": TenantId("other")},
    {"view_type": ViewType("orders_2")},
    {"view_id": ViewId("2")},
    {"view_id": None},
    {"view_id": ViewId("null")},
    {"sequence": 8},
    {"error_class": ErrorClass.PROGRAM},
    {"code": "D101"},
    {"disposition": Disposition.SKIPPED},
    {"subject": "tenant.acme.aggregate.order.2"},
    {"envelope": b"\xff["},
    {"headers": (("ce-type", "Paid"),)},
    {"stored": "1767225600000000000"},
]


@pytest.mark.parametrize("words", WORDS)
def test_words_about_an_event_are_no_part_of_the_state(words):
    assert parked_digest(EVENT) == parked_digest(EVENT.model_copy(update=words))


def test_what_happened_to_which_event_is():
    digests = [parked_digest(EVENT.model_copy(update=facts)) for facts in ({}, *FACTS)]
    assert all(one != other for one, other in combinations(digests, 2))


def test_each_field_of_an_event_is_known_to_be_part_of_the_state_or_not():
    assert {name for fields in (*WORDS, *FACTS) for name in fields} == set(ParkedEvent.model_fields)


def test_no_text_passes_for_another_field():
    one = EVENT.model_copy(update={"subject": "a\0b"})
    other = EVENT.model_copy(update={"subject": "a", "envelope": b"b" + EVENT.envelope})
    assert parked_digest(one) != parked_digest(other)


def test_it_is_the_same_on_every_machine():
    """Held as a value: this is `b2sum -l 256` of a JSON array, a NUL, and the envelope."""
    digest = parked_digest(EVENT)
    assert f"{digest:064x}" == "d7508c82d6f14e79558e2cabc444c429cacc6b98ecf604509fff076d18bd5591"
