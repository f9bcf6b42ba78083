"""Cursors: opaque, and of use only to the tenant, the query and the build that they were made for."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projection.model.ids import TenantId
from projection.query.cursors import Cursors, Place
from projection.query.errors import CursorGoneError, CursorInvalidError
from projection.query.form import MAX_CURSOR
from projection.query.sealing import Seal
from projection.testing.hostile_ids import tenant_ids

CURSORS = Cursors(bytes(32))
TENANT = TenantId("t")
PLACE = Place((b"\x81\x01", b"\x00"), b"a:b")


def read(cursor, tenant=TENANT, query=b"q", build=1, cursors=CURSORS, keys=None):
    return cursors.read(cursor, build, tenant, query, lambda _: keys)


@given(st.lists(st.binary(max_size=300), max_size=8).map(tuple), st.binary(min_size=1, max_size=480), tenant_ids())
def test_a_cursor_means_the_place_that_it_was_made_of(keys, view_id, tenant):
    place = Place(keys, view_id)
    cursor = CURSORS.make(place, 1, tenant, b"q")
    assert place == read(cursor, tenant, keys=keys)
    assert len(cursor) <= MAX_CURSOR


@given(tenant_ids(), tenant_ids(), st.binary(max_size=5), st.binary(max_size=5))
def test_a_cursor_is_of_no_use_to_another_tenant_or_query(tenant, other, query, another):
    cursor = CURSORS.make(PLACE, 1, tenant, query)
    if (tenant, query) != (other, another):
        with pytest.raises(CursorInvalidError):
            read(cursor, other, another)


@given(st.data())
def test_a_changed_cursor_is_refused(data):
    cursor = CURSORS.make(PLACE, 1, TENANT, b"q")
    at = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.sampled_from("abcXYZ019-_ .=é\n\x00"))
    changed = cursor[:at] + other + cursor[at + 1 :]
    if changed != cursor:
        with pytest.raises(CursorInvalidError):
            read(changed)


def test_a_cursor_of_store_format_2_is_refused():
    """It names a place among ids that were in another order; going on from there could leave views out."""
    payload = msgspec.msgpack.encode((1, b"a%3Ab", ()))
    former = Seal(bytes(32), "cursor").close(payload, TENANT.encode(), b"q")
    with pytest.raises(CursorInvalidError):
        read(former)


def test_a_cursor_has_one_spelling():
    cursor = CURSORS.make(Place((b"x",), b"a"), 1, TENANT, b"q")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others = [cursor + "=", cursor + "\n", *(cursor[:-1] + letter for letter in letters if letter != cursor[-1])]
    for other in others:
        with pytest.raises(CursorInvalidError):
            read(other)


@given(st.text(max_size=80))
def test_what_was_never_a_cursor_is_refused(text):
    with pytest.raises(CursorInvalidError):
        read(text)


def test_a_cursor_of_another_data_folder_is_refused():
    cursor = CURSORS.make(PLACE, 1, TENANT, b"q")
    with pytest.raises(CursorInvalidError):
        read(cursor, cursors=Cursors(b"\x01" * 32))


def test_the_cursor_of_a_build_that_no_longer_answers_is_gone():
    cursor = CURSORS.make(PLACE, 1, TENANT, b"q")
    with pytest.raises(CursorGoneError, match="build 1, and build 2 answers") as gone:
        read(cursor, build=2)
    assert "first page" in gone.value.hint


def test_sort_keys_that_are_too_long_are_found_again_at_their_view_while_it_is_as_it_was():
    place = Place((b"x" * 5_000,), b"a")
    cursor = CURSORS.make(place, 1, TENANT, b"q")
    assert len(cursor) < 200
    assert place == read(cursor, keys=place.keys)
    for now in (None, (b"x" * 4_999 + b"y",)):
        with pytest.raises(CursorGoneError, match="has changed"):
            read(cursor, keys=now)
