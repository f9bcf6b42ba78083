"""The envelope and whose event it is."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from projection.errors import DecodeError, TenantAccessError
from projection.model.envelope import MAX_ENVELOPE_BYTES, MAX_TEXT, Tenancy, decode_envelope
from projection.model.escaping import escape_token
from projection.model.ids import TenantId
from projection.model.subjects import SubjectTemplate
from projection.testing.hostile_ids import tenant_ids

LEAST = {
    "aggregate_type": "fine",
    "aggregate_id": "S38735",
    "event_type": "CreateFine",
    "payload": {"amount": 62.59},
    "timestamp": "2000-01-01T00:00:00+01:00",
}


def envelope(**fields):
    return decode_envelope(json.dumps(LEAST | fields).encode())


class TestDecoding:
    def test_what_is_optional_is_none_when_it_is_absent_or_null(self):
        optional = ("tenant_id", "correlation_id", "traceparent", "trace_id", "event_id")

        assert [getattr(envelope(), name) for name in optional] == [None] * 5
        assert envelope() == envelope(**dict.fromkeys(optional))

    def test_what_is_given_is_kept(self):
        given = envelope(tenant_id="t", correlation_id="c", traceparent="p", trace_id="i", event_id="e")

        assert (
            given.tenant_id,
            given.correlation_id,
            given.traceparent,
            given.trace_id,
            given.event_id,
        ) == ("t", "c", "p", "i", "e")

    def test_unknown_fields_are_ignored_of_any_shape(self):
        assert envelope() == envelope(version=2, metadata={"a": [1, None]}, Tenant_id="x")

    def test_the_payload_stays_the_bytes_that_came(self):
        raw = b'{ "amount":62.590, "n":1e400 }'
        data = json.dumps(LEAST).encode().replace(json.dumps(LEAST["payload"]).encode(), raw)

        assert raw == bytes(decode_envelope(data).payload)

    @pytest.mark.parametrize("field", ["aggregate_type", "aggregate_id", "event_type", "correlation_id", "event_id"])
    def test_what_a_program_can_read_is_at_most_1024_code_points(self, field):
        longest = "é" * MAX_TEXT

        assert longest == getattr(envelope(**{field: longest}), field)
        with pytest.raises(DecodeError, match=rf"length <= 1024 - at `\$\.{field}`") as caught:
            envelope(**{field: longest + "é"})
        assert caught.value.code == "D102"

    @given(tenant_ids(), tenant_ids())
    def test_any_text_is_an_id(self, aggregate_id, tenant_id):
        found = envelope(aggregate_id=aggregate_id, tenant_id=tenant_id)

        assert (aggregate_id, tenant_id) == (found.aggregate_id, found.tenant_id)

    @pytest.mark.parametrize("name", list(LEAST))
    def test_a_missing_field_is_named(self, name):
        with pytest.raises(DecodeError, match=name) as caught:
            decode_envelope(json.dumps({key: value for key, value in LEAST.items() if key != name}).encode())

        assert caught.value.code == "D102"

    @pytest.mark.parametrize(
        "name", ["aggregate_type", "aggregate_id", "event_type", "timestamp", "tenant_id", "event_id"]
    )
    @pytest.mark.parametrize("value", [1, 1.5, True, [], {}])
    def test_a_field_of_the_wrong_type_is_named(self, name, value):
        with pytest.raises(DecodeError, match=name) as caught:
            envelope(**{name: value})

        assert caught.value.code == "D102"

    @pytest.mark.parametrize("data", [b"[]", b"null", b"1", b'"text"', b"[" * 5 + b"]" * 5])
    def test_json_of_another_shape_is_no_envelope(self, data):
        with pytest.raises(DecodeError, match="not an envelope") as caught:
            decode_envelope(data)

        assert caught.value.code == "D102"

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"{",
            b"not json",
            b"\xff\xfe",
            b"{'a': 1}",
            json.dumps(LEAST).encode() + b"x",
            json.dumps(LEAST).encode()[:-1],
            json.dumps(LEAST | {"event_type": "X"}).encode().replace(b'"X"', b'"\xff"'),
            json.dumps(LEAST | {"event_type": "X"}).encode().replace(b'"X"', b'"\\ud800"'),
        ],
    )
    def test_what_is_no_json_is_refused(self, data):
        with pytest.raises(DecodeError) as caught:
            decode_envelope(data)

        assert caught.value.code == "D101"

    @pytest.mark.parametrize("field", ["payload", "unknown"])
    def test_deep_nesting_does_no_harm(self, field):
        data = json.dumps(LEAST | {field: "X"}).encode().replace(b'"X"', b"[" * 100_000 + b"]" * 100_000)

        try:
            assert LEAST["aggregate_id"] == decode_envelope(data).aggregate_id
        except DecodeError as error:
            assert error.code == "D101"  # noqa: PT017 - either way is right; a crash or another error is not

    def test_an_event_is_bounded(self):
        with pytest.raises(DecodeError, match="8388609 bytes") as caught:
            decode_envelope(b" " * (MAX_ENVELOPE_BYTES + 1))

        assert caught.value.code == "D104"

    @given(st.binary(max_size=60))
    def test_no_bytes_do_worse_than_a_decode_error(self, data):
        with pytest.raises(DecodeError):
            decode_envelope(data)


class TestTenancy:
    @pytest.mark.parametrize(
        ("named", "by_subject", "expected"),
        [
            (None, None, "main"),
            ("", None, "main"),
            ("a", None, "a"),
            (None, "a", "a"),
            ("a", "a", "a"),
            (None, "", "main"),
            ("", "", "main"),
            ("main", "", "main"),
            ("", "main", "main"),
        ],
    )
    def test_the_subject_says_whose_event_it_is_and_empty_is_the_default(self, named, by_subject, expected):
        subject_tenant = None if by_subject is None else TenantId(by_subject)
        tenant = Tenancy(default=TenantId("main")).tenant_of(envelope(tenant_id=named), subject_tenant)

        assert (expected, TenantId) == (tenant, type(tenant))

    @pytest.mark.parametrize(("named", "by_subject"), [("a", "b"), ("", "b"), ("a", ""), ("main", "b"), ("A", "a")])
    def test_an_envelope_may_not_name_another_tenant_than_its_subject(self, named, by_subject):
        with pytest.raises(TenantAccessError, match="its subject belongs to"):
            Tenancy(default=TenantId("main")).tenant_of(envelope(tenant_id=named), TenantId(by_subject))

    @pytest.mark.parametrize(
        ("named", "by_subject"), [(None, None), ("", None), ("main", None), (None, "main"), ("main", "")]
    )
    def test_without_multi_tenancy_all_is_the_default_tenants(self, named, by_subject):
        subject_tenant = None if by_subject is None else TenantId(by_subject)

        assert Tenancy(False, TenantId("main")).tenant_of(envelope(tenant_id=named), subject_tenant) == "main"

    @pytest.mark.parametrize(
        ("named", "by_subject"), [("a", None), (None, "a"), ("a", "a"), ("main", "a"), ("", "a"), ("a", "main")]
    )
    def test_without_multi_tenancy_no_tenant_may_be_named(self, named, by_subject):
        subject_tenant = None if by_subject is None else TenantId(by_subject)

        with pytest.raises(TenantAccessError):
            Tenancy(False, TenantId("main")).tenant_of(envelope(tenant_id=named), subject_tenant)

    def test_a_name_that_no_tenant_can_have_is_a_data_error(self):
        with pytest.raises(TenantAccessError, match="longer than 200 bytes"):
            Tenancy().tenant_of(envelope(tenant_id="a" * 201), None)

    @pytest.mark.parametrize("named", [" north", "north ", "\tnorth", "north\t", " ", " \t"])
    def test_no_tenant_begins_or_ends_with_what_http_takes_off_a_header(self, named):
        """Else a request for one tenant would be answered with the views of another."""
        with pytest.raises(TenantAccessError, match="begins or ends with a blank"):
            Tenancy().tenant_of(envelope(tenant_id=named), None)
        tenant_of = SubjectTemplate.parse("events.<tenant>.<type>.<id>").tenant_reader()
        with pytest.raises(ValueError, match="begins or ends with a blank"):
            tenant_of(f"events.{escape_token(named)}.order.1")

    def test_an_envelope_is_never_changed(self):
        with pytest.raises(AttributeError):
            envelope().tenant_id = "other"
        assert msgspec.structs.replace(envelope(), tenant_id="a") != envelope()
