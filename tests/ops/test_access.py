"""Access: who is let in by which credentials, and what is said to everybody else."""

from __future__ import annotations

import json
import time

import jwt
import pytest
from credentials import OTHER, RSA, SECRET, bearer, headers, pem, refused, token
from hypothesis import given
from hypothesis import strategies as st

from projection.errors import ConfigurationError
from projection.model.envelope import Tenancy
from projection.model.http_settings import AccessSettings
from projection.model.ids import TenantId
from projection.ops.http import tokens
from projection.ops.http.access import Access
from projection.ops.http.problems import RequestError

# mode none


class TestNone:
    access = Access(AccessSettings(), Tenancy())

    def test_whoever_is_here_is_the_tenant_that_they_name_and_an_operator(self):
        assert "t" == self.access.reader(headers(x_tenant_id="t")).tenant_id
        assert "" == self.access.reader([]).tenant_id
        assert self.access.is_operator([])

    @pytest.mark.parametrize(
        "host",
        [
            "127.0.0.1",
            "127.0.0.1:80",
            "localhost:7070",
            "[::1]",
            "[::1]:7070",
            "127.9.9.9",
            "LOCALHOST",
            "LocalHost:80",
        ],
    )
    def test_names_of_this_machine_are_answered_to(self, host):
        assert self.access.reader(headers(host=host))

    @pytest.mark.parametrize(
        "host", ["evil.example", "127.0.0.1.evil.example:7070", "10.0.0.1", "", "[::2]:1", "a:b:c"]
    )
    def test_a_name_that_somebody_had_lead_here_is_not(self, host):
        refused(self.access, headers(host=host), "access.host")

    def test_a_tenant_may_be_any_text_of_utf_8(self):
        assert "ä:*%/😀" == self.access.reader(headers(x_tenant_id="ä:*%/😀")).tenant_id
        refused(self.access, [(b"x-tenant-id", b"\xff")], "http.invalid", "UTF-8")
        refused(self.access, headers(x_tenant_id="x" * 201), "http.invalid", "200 bytes")

    def test_two_tenants_are_none(self):
        refused(self.access, headers(x_tenant_id="t") + headers(x_tenant_id="u"), "http.invalid", "2 times")


# mode header


class TestHeader:
    access = Access(AccessSettings(mode="header", secret=SECRET), Tenancy())
    gateway = headers(x_projection_secret=SECRET)

    def test_the_gateway_says_for_whom_it_asks(self):
        assert "t" == self.access.reader(self.gateway + headers(x_tenant_id="t")).tenant_id

    def test_an_empty_tenant_is_the_default_one_as_with_events(self):
        access = Access(AccessSettings(mode="header", secret=SECRET), Tenancy(default=TenantId("main")))
        assert "main" == access.reader(self.gateway + headers(x_tenant_id="")).tenant_id

    def test_without_the_secret_nobody_is_let_in(self):
        refused(self.access, headers(x_tenant_id="t"), "access.missing", "x-projection-secret")

    @pytest.mark.parametrize("shown", ["", SECRET[:-1], SECRET + "x", SECRET.upper(), "ä", f" {SECRET}"])
    def test_another_secret_is_refused(self, shown):
        refused(self.access, headers(x_tenant_id="t", x_projection_secret=shown), "access.denied")

    def test_two_secrets_of_which_one_is_right_are_refused(self):
        refused(self.access, [*headers(x_projection_secret="x"), *self.gateway], "http.invalid")

    def test_without_a_tenant_there_are_no_views(self):
        refused(self.access, self.gateway, "access.forbidden", "no tenant")

    def test_an_operator_is_whom_the_gateway_calls_one(self):
        refused(self.access, self.gateway, "access.forbidden", "for operators", "require_operator")
        refused(self.access, headers(x_projection_scopes="operator"), "access.missing", "", "require_operator")
        self.access.require_operator(self.gateway + headers(x_projection_scopes="read operator"))
        assert not self.access.is_operator(headers(x_projection_scopes="operator"))

    def test_the_secret_may_stand_in_a_file_with_a_line_feed(self, tmp_path):
        (tmp_path / "secret").write_text(SECRET + "\n")
        access = Access(AccessSettings(mode="header", secret_file=tmp_path / "secret"), Tenancy())
        assert "t" == access.reader(self.gateway + headers(x_tenant_id="t")).tenant_id

    def test_a_file_with_a_short_secret_is_told_without_it(self, tmp_path):
        (tmp_path / "secret").write_text("hunter2")
        with pytest.raises(ConfigurationError) as caught:
            Access(AccessSettings(mode="header", secret_file=tmp_path / "secret"), Tenancy())
        assert "hunter2" not in str(caught.value)
        assert "http.access.secret_file" in str(caught.value)


class TestWithoutTenants:
    @pytest.mark.parametrize("named", [{}, {"x_tenant_id": "t"}])
    def test_everything_is_the_default_tenants(self, named):
        tenancy = Tenancy(enabled=False, default=TenantId("main"))
        assert "main" == Access(AccessSettings(), tenancy).reader(headers(**named)).tenant_id
        access = Access(AccessSettings(mode="header", secret=SECRET), tenancy)
        assert "main" == access.reader(headers(x_projection_secret=SECRET, **named)).tenant_id
        refused(access, headers(**named), "access.missing")


# mode jwt


# mode jwt


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "key.pem"
    path.write_bytes(pem(RSA))
    return path


@pytest.fixture
def access(key_file):
    return by_key(key_file)


def by_key(key_file, *algorithms, **more):
    return Access(AccessSettings(mode="jwt", key_file=key_file, algorithms=algorithms or ("RS256",), **more), Tenancy())


class TestTokens:
    def test_a_token_says_whose_views(self, access):
        assert "t" == access.reader(bearer(token())).tenant_id
        assert "t" == access.reader(headers(authorization=f"bearer  {token()}")).tenant_id

    def test_a_header_of_the_client_says_nothing(self, access):
        assert "t" == access.reader(bearer(token()) + headers(x_tenant_id="u")).tenant_id

    @pytest.mark.parametrize(
        ("shown", "code", "said"),
        [
            ([], "access.missing", "no bearer token"),
            (headers(authorization="Basic dDp1"), "access.denied", "no bearer token"),
            (bearer(""), "access.denied", "cannot be verified"),
            (bearer("x.y.z"), "access.denied", "cannot be verified"),
            (bearer(token(OTHER)), "access.denied", "signature does not verify"),
            (bearer(token() + "x"), "access.denied", ""),
            (bearer(token(exp=time.time() - 60)), "access.denied", "has expired"),
            (bearer(token(nbf=time.time() + 3_600)), "access.denied", "not valid yet"),
            (bearer(token(exp=None)), "access.denied", "lacks a claim"),
            (bearer(token(exp="soon")), "access.denied", ""),
            (bearer(token(exp=str(int(time.time()) + 3_600))), "access.denied", "'exp' is no number"),
            (bearer(token(nbf="1")), "access.denied", "'nbf' is no number"),
            (bearer(token(iat="1")), "access.denied", ""),
            (bearer(token(aud="another")), "access.denied", "another audience"),
            (bearer(token(None, "none")), "access.denied", "algorithm"),
            (bearer(token(RSA, "RS512")), "access.denied", "algorithm"),
            (bearer(token(tenant_id=None)), "access.forbidden", "no tenant"),
            (bearer(token(tenant_id=7)), "access.forbidden", "no tenant id"),
            (bearer(token(tenant_id="x" * 201)), "access.forbidden", "no tenant id"),
            (bearer(token(tenant_id="\ud800")), "access.forbidden", "no tenant id"),
            (bearer(token()) + bearer(token()), "http.invalid", "2 times"),
        ],
    )
    def test_what_is_refused(self, access, shown, code, said):
        refused(access, shown, code, said)

    def test_a_public_key_is_no_secret_to_sign_with(self, access):
        """The old trick: HS256, with the text of the public key as the secret."""
        import base64
        import hashlib
        import hmac

        def part(data):
            return base64.urlsafe_b64encode(data).rstrip(b"=")

        signed = (
            part(b'{"alg":"HS256","typ":"JWT"}')
            + b"."
            + part(json.dumps({"tenant_id": "t", "exp": time.time() + 3_600}).encode())
        )
        forged = signed + b"." + part(hmac.new(pem(RSA), signed, hashlib.sha256).digest())
        refused(access, bearer(forged.decode()), "access.denied", "algorithm")

    @given(
        st.text(st.characters(codec="ascii", exclude_characters="\r\n"), max_size=200)
        | st.binary(max_size=60).map(bytes.hex)
    )
    def test_whatever_else_a_token_is_it_is_refused(self, text):
        access = Access(AccessSettings(mode="jwt", secret=SECRET, algorithms=("HS256",)), Tenancy())
        refused(access, bearer(text), "access.denied")

    @given(
        st.dictionaries(
            st.sampled_from(("exp", "nbf", "iat", "aud", "iss", "tenant_id", "scope")),
            st.none()
            | st.booleans()
            | st.floats()
            | st.integers()
            | st.text(max_size=5)
            | st.lists(st.integers(), max_size=2),
        )
    )
    def test_claims_of_any_form_are_refused_or_name_a_tenant(self, claims):
        access = Access(AccessSettings(mode="jwt", secret=SECRET, algorithms=("HS256",)), Tenancy())
        text = jwt.api_jws.encode(json.dumps({"exp": 1e10, **claims}).encode(), SECRET, "HS256")
        try:
            tenant_id = access.reader(bearer(text)).tenant_id
        except RequestError as error:
            tenant_id = error.code
        assert tenant_id in (claims.get("tenant_id"), "access.denied", "access.forbidden")

    def test_clocks_may_be_apart_as_far_as_is_set(self, key_file):
        shown = bearer(token(exp=time.time() - 60))
        assert by_key(key_file, leeway_s=120).reader(shown)
        refused(by_key(key_file, leeway_s=0), shown, "access.denied", "has expired")

    def test_a_token_that_was_accepted_is_vouched_for_until_it_expires(self, key_file, monkeypatch):
        access, shown, asked = by_key(key_file, leeway_s=0), bearer(token()), []
        decode = jwt.decode
        monkeypatch.setattr(jwt, "decode", lambda *args, **named: asked.append(1) or decode(*args, **named))
        for _ in range(3):
            access.reader(shown)
        assert [1] == asked
        later = time.time() + 3_601
        monkeypatch.setattr(tokens, "time", lambda: later)
        access.reader(shown)  # the library's own clock stands still here
        assert [1, 1] == asked

    def test_issuer_and_audience_are_what_is_set(self, key_file):
        access = by_key(key_file, issuer="https://id.example", audience="projection")
        right = {"iss": "https://id.example", "aud": ["other", "projection"]}
        assert access.reader(bearer(token(**right)))
        refused(access, bearer(token(**right | {"iss": "https://evil.example"})), "access.denied", "another issuer")
        refused(access, bearer(token(**right | {"aud": "other"})), "access.denied", "another audience")
        refused(access, bearer(token(iss="https://id.example")), "access.denied", "lacks a claim")

    def test_claims_have_the_names_that_are_set(self, key_file):
        access = by_key(key_file, tenant_claim="https://x.example/org", scope_claim="realm.roles", operator_scope="ops")
        claims = {"https://x.example/org": "t", "tenant_id": "u", "realm": {"roles": ["ops", 7]}}
        assert "t" == access.reader(bearer(token(**claims))).tenant_id
        assert access.is_operator(bearer(token(**claims)))
        access = by_key(key_file, tenant_claim="org.id")
        assert "t" == access.reader(bearer(token(org={"id": "t"}))).tenant_id
        refused(access, bearer(token(org="t")), "access.forbidden", "no tenant")

    def test_an_operator_needs_the_scope_and_no_tenant(self, access):
        access.require_operator(bearer(token(scope="read operator", tenant_id=None)))
        for scope in (None, "read", "operators", {"operator": True}, 7):
            refused(access, bearer(token(scope=scope)), "access.forbidden", "for operators", "require_operator")
