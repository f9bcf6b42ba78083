"""Ids, their escaped forms, and the keys of the store."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from projection.lang.library import BUILTINS
from projection.model.escaping import escape_id, escape_part, escape_token, unescape_id, unescape_part, unescape_token
from projection.model.ids import DEFAULT_TENANT, TenantId, ViewId, ViewType
from projection.model.keys import MAX_KEY_BYTES, CheckpointKey, ViewKey, is_key_too_long, owner_and_id
from projection.testing.hostile_ids import tenant_ids, view_ids

texts = tenant_ids().map(str)
tenants = tenant_ids()
types = st.from_regex(r"[a-z][a-z0-9_]{0,63}", fullmatch=True).map(ViewType)
view_keys = st.builds(ViewKey, tenants, types, view_ids())
# Ids that an event gives, and such as programs make by `key(…)`.
_made = st.lists(view_ids() | st.sampled_from(["&", "a&b", "a", "a:", "\x00", "\x01", "\x02"]), min_size=1, max_size=3)
ids = view_ids().map(str) | _made.map("".join) | _made.map(lambda parts: BUILTINS["key"][0].function(*parts))
checkpoint_keys = st.builds(CheckpointKey, tenants, types)


class TestIds:
    def test_the_tenant_that_nobody_names_is_the_empty_one(self):
        assert TenantId() == DEFAULT_TENANT == ""

    @pytest.mark.parametrize("kind", [TenantId, ViewId])
    @pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
    def test_a_lone_surrogate_is_no_part_of_an_id(self, kind, text):
        with pytest.raises(ValueError, match="lone surrogate"):
            kind(text)

    @pytest.mark.parametrize("text", ["", "Fine", "1st", "a-b", "a.b", "a b", "é", "fine\n", "a" * 65, "_a"])
    def test_a_view_type_is_a_short_lower_case_identifier(self, text):
        with pytest.raises(ValueError, match="view type"):
            ViewType(text)

    def test_a_view_type_may_have_64_characters(self):
        assert ViewType("a" * 64) == "a" * 64

    def test_a_view_id_is_not_empty(self):
        with pytest.raises(ValueError, match="view id '' is empty"):
            ViewId("")

    def test_a_tenant_has_at_most_200_bytes_as_they_stand_in_a_key(self):
        assert TenantId("é" * 100)
        for text in ("é" * 100 + "x", ":" * 67):
            with pytest.raises(ValueError, match="longer than 200 bytes"):
                TenantId(text)

    @pytest.mark.parametrize("kind", [TenantId, ViewType, ViewId])
    @pytest.mark.parametrize("value", [None, 1, b"a", ["a"]])
    def test_an_id_is_a_text(self, kind, value):
        with pytest.raises(TypeError, match="is a text, not"):
            kind(value)

    def test_one_kind_of_id_made_of_another_keeps_its_own_rule(self):
        with pytest.raises(ValueError, match="view type"):
            ViewType(TenantId("Office S"))


class TestEscaping:
    @given(texts)
    @example("%")
    @example("%41")
    def test_a_part_of_a_key_survives(self, text):
        part = escape_part(text)

        assert text == unescape_part(part)
        assert not set(part) & {":", "\x00", "\n", "\x7f"}

    @given(texts, texts)
    def test_different_texts_make_different_parts_and_tokens(self, one, other):
        assert (one == other) == (escape_part(one) == escape_part(other)) == (escape_token(one) == escape_token(other))

    @given(texts)
    @example("")
    @example("%-")
    @example("-")
    def test_a_token_survives_and_is_legal_in_a_subject(self, text):
        token = escape_token(text)

        assert text == unescape_token(token)
        assert token
        assert token.isascii()
        assert not set(token) & set("*>. \t\r\n\x00")

    @pytest.mark.parametrize("part", ["%", "%4", "%41", "%3a", "a:b", "%zz", "\n", "%25%"])
    def test_what_no_text_escapes_to_is_no_part(self, part):
        with pytest.raises(ValueError, match="not an escaped part"):
            unescape_part(part)

    @pytest.mark.parametrize("token", ["", "%", "%41", "%2e", "a.b", "é", "%FF", "%-x", "a b", "%C3"])
    def test_what_no_text_escapes_to_is_no_token(self, token):
        with pytest.raises(ValueError, match="not an escaped token"):
            unescape_token(token)

    def test_a_token_too_long_for_a_subject_is_refused(self):
        assert len(escape_token("x" * 1024)) == 1024
        for text in ("x" * 1025, "💥" * 86):
            with pytest.raises(ValueError, match="1024 are allowed"):
                escape_token(text)


class TestKeys:
    def test_keys_are_readable(self):
        tenant, view_type = TenantId("office-s"), ViewType("fine_summary")

        assert str(ViewKey(tenant, view_type, ViewId("S38735"))) == "view:office-s:fine_summary:S38735"
        assert str(ViewKey(DEFAULT_TENANT, view_type, ViewId("a:b%é"))) == "view::fine_summary:a:b%\u00e9"
        assert str(CheckpointKey(tenant, view_type)) == "checkpoint:office-s:fine_summary"

    @given(view_keys)
    def test_a_view_key_survives(self, key):
        parsed = ViewKey.parse(str(key))
        assert (key.tenant_id, key.view_id) == owner_and_id(key.encode())

        assert key == parsed
        assert [TenantId, ViewType, ViewId] == [type(part) for part in parsed]
        assert str(key).encode() == key.encode()

    @given(checkpoint_keys)
    def test_a_checkpoint_key_survives_and_fits_into_the_store(self, key):
        assert key == CheckpointKey.parse(str(key))
        assert len(key.encode()) <= MAX_KEY_BYTES

    @given(view_keys, view_keys)
    def test_different_keys_are_never_equal_bytes(self, one, other):
        assert (one == other) == (one.encode() == other.encode())

    @given(tenants, types, ids, ids)
    @example(TenantId("t"), ViewType("v"), "a:b", "a&b")
    @example(TenantId("t"), ViewType("v"), "a\x00", "a\x01")
    @example(TenantId("t"), ViewType("v"), "a", "a\x00")
    @example(TenantId("t"), ViewType("v"), "\uffff", "\U00010000")
    def test_keys_are_in_the_order_of_the_ids_code_points(self, tenant, view_type, one, other):
        keys = [ViewKey(tenant, view_type, ViewId(view_id)).encode() for view_id in (one, other)]

        assert (one < other) == (keys[0] < keys[1])
        assert one.startswith(other) == keys[0].startswith(keys[1])

    @given(ids)
    def test_an_id_survives_in_its_key_which_has_no_nul(self, view_id):
        part = escape_id(view_id)

        assert view_id == unescape_id(part)
        assert "\x00" not in part

    @given(types, ids.map(lambda text: text * 9))
    @example(ViewType("v"), ":" * 168)
    @example(ViewType("v"), ":" * 167)
    @example(ViewType("v"), "\x00" * 168)
    @example(ViewType("v"), "k" * 503)
    def test_a_key_is_too_long_where_its_id_would_be_if_it_were_percent_escaped(self, view_type, view_id):
        key = ViewKey(DEFAULT_TENANT, view_type, ViewId(view_id)).encode()
        size = len(f"view::{view_type}:{escape_part(view_id)}".encode())

        assert (size > MAX_KEY_BYTES) == is_key_too_long(key)
        assert len(key) <= size

    @given(view_keys, tenants, types)
    def test_a_prefix_takes_the_keys_of_its_tenant_and_view_type_and_no_others(self, key, tenant, view_type):
        assert key.encode().startswith(ViewKey.prefix(key.tenant_id, key.view_type))
        assume((tenant, view_type) != (key.tenant_id, key.view_type))
        assert not key.encode().startswith(ViewKey.prefix(tenant, view_type))

    @given(tenants, texts, types, view_ids())
    def test_a_tenant_named_like_the_beginning_of_another_does_not_reach_it(self, tenant, rest, view_type, view_id):
        longer = TenantId(tenant + (rest or ":"))

        assert not ViewKey(longer, view_type, view_id).encode().startswith(ViewKey.prefix(tenant, view_type))

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "view",
            "view:a:b",
            "view:a:b:c\x00d",
            "view:a:b:c\x01",
            "view:a:b:c\x01d",
            "checkpoint:a:b:c",
            "View:a:b:c",
            "view:a:B:c",
            "view:a:b:",
            "view:%:b:c",
        ],
    )
    def test_what_is_no_view_key_is_refused(self, text):
        with pytest.raises(ValueError):
            ViewKey.parse(text)

    @pytest.mark.parametrize(
        "text", ["", "checkpoint:a", "checkpoint:a:b:c", "view:a:b", "checkpoint:a:", "checkpoint:\n:b"]
    )
    def test_what_is_no_checkpoint_key_is_refused(self, text):
        with pytest.raises(ValueError):
            CheckpointKey.parse(text)
