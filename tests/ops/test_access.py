"""Access: who is let in by which credentials, and what is said to everybody else."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import suppress

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from patience import WITHIN_S, eventually
from structlog.testing import capture_logs

from projection.errors import ConfigurationError
from projection.model.envelope import Tenancy
from projection.model.http_settings import AccessSettings
from projection.model.ids import TenantId
from projection.ops.http import token_keys, tokens
from projection.ops.http.access import Access
from projection.ops.http.problems import KINDS, RequestError

SECRET = "correct-horse-battery-staple-of-the-gateway"
RSA, OTHER = (rsa.generate_private_key(65537, 2048) for _ in range(2))
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def headers(**named):
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]


def refused(access, shown, code, said="", who="reader"):
    with pytest.raises(RequestError) as caught:
        getattr(access, who)(shown)
    assert (code, True) == (caught.value.code, said in caught.value.message), caught.value.message
    assert SECRET not in str(caught.value)
    if KINDS[code].status == 401:
        assert caught.value.headers["www-authenticate"]


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


def pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def jwk(key, kid, **more):
    kind = {rsa.RSAPrivateKey: "RSAAlgorithm", ec.EllipticCurvePrivateKey: "ECAlgorithm"}
    name = next((name for one, name in kind.items() if isinstance(key, one)), "OKPAlgorithm")
    return {**json.loads(getattr(jwt.algorithms, name).to_jwk(key.public_key())), "kid": kid, **more}


def token(key=RSA, algorithm="RS256", kid=None, **claims):
    made = {"tenant_id": "t", "exp": time.time() + 3_600, **claims}  # some are made long before they are shown
    sent = {name: value for name, value in made.items() if value is not None}
    return jwt.encode(sent, key, algorithm, headers=None if kid is None else {"kid": kid})


def bearer(text):
    return headers(authorization=f"Bearer {text}")


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


class TestKeySets:
    @pytest.fixture
    def path(self, tmp_path):
        return tmp_path / "jwks.json"

    @pytest.fixture(autouse=True)
    def _look_always(self, monkeypatch):
        monkeypatch.setattr(token_keys, "_LOOK_EVERY_S", 0.0)
        monkeypatch.setattr(token_keys, "_PATIENCE_S", WITHIN_S)

    def write(self, path, *keys):
        path.write_text(json.dumps({"keys": keys}))
        os.utime(path, ns=(time.time_ns(), time.time_ns()))

    def access(self, path, *algorithms):
        return Access(
            AccessSettings(mode="jwt", jwks_file=path, algorithms=algorithms or ("RS256", "ES256", "EdDSA")), Tenancy()
        )

    def test_each_kind_of_key_is_taken_by_its_id(self, path):
        self.write(path, jwk(RSA, "r"), jwk(EC, "e"), jwk(ED, "d"))
        access = self.access(path)
        for key, algorithm, kid in ((RSA, "RS256", "r"), (EC, "ES256", "e"), (ED, "EdDSA", "d")):
            assert access.reader(bearer(token(key, algorithm, kid)))
        refused(access, bearer(token(RSA, "RS256", "nobody's")), "access.denied", "not known here")
        refused(access, bearer(token(RSA, "RS256", None)), "access.denied", "not known here")
        refused(access, bearer(token(RSA, "RS256", "e")), "access.denied")

    def test_a_key_is_for_its_own_algorithm(self, path):
        self.write(path, jwk(RSA, "r", alg="RS512"))
        access = self.access(path, "RS256", "RS512")
        assert access.reader(bearer(token(RSA, "RS512", "r")))
        refused(access, bearer(token(RSA, "RS256", "r")), "access.denied", "algorithm")

    def test_secrets_and_keys_for_other_ends_are_passed_over(self, path):
        secret = {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U", "kid": "s"}
        self.write(path, secret, jwk(OTHER, "enc", use="enc"), {"kty": "EC", "crv": "P-0"}, jwk(RSA, "r"))
        access = self.access(path)
        assert access.reader(bearer(token()))  # the one that is left
        refused(access, bearer(token(OTHER, "RS256", "enc")), "access.denied", "not known here")

    async def test_keys_change_with_their_file_and_former_tokens_with_them(self, path):
        self.write(path, jwk(RSA, "1"))
        access, former, latter = self.access(path), bearer(token(RSA, "RS256", "1")), bearer(token(OTHER, "RS256", "2"))
        assert access.reader(former)
        self.write(path, jwk(OTHER, "2"))
        await access.look()
        assert access.reader(latter)
        refused(access, former, "access.denied", "not known here")

    @pytest.mark.parametrize("broken", ["", "{", "[]", '{"keys": 7}', '{"keys": []}', '{"keys": [7]}', None])
    async def test_a_file_that_is_broken_for_a_while_leaves_the_keys_as_they_were(self, path, broken):
        self.write(path, jwk(RSA, "1"))
        access = self.access(path)
        path.unlink() if broken is None else path.write_text(broken)
        with capture_logs() as logged:
            for _ in range(3):
                await access.look()
            assert access.reader(bearer(token(RSA, "RS256", "1")))
        assert ["the new keys of tokens cannot be read; the former ones are kept"] == [one["event"] for one in logged]
        self.write(path, jwk(OTHER, "2"))
        await access.look()
        assert access.reader(bearer(token(OTHER, "RS256", "2")))

    @pytest.mark.parametrize(
        ("unfit", "key_id", "said"),
        [
            (lambda: jwk(rsa.generate_private_key(65537, 1024), "weak"), "weak", "is an RSA key of 1024 bits"),
            (lambda: None, "1", "is no key"),
            (lambda: "text", "1", "is no key"),
            (lambda: {"kty": "RSA", "kid": "half", "n": "AQAB"}, "half", "cannot be read"),
            (lambda: {"kty": "EC", "kid": 7, "crv": "P-0"}, "7", "cannot be read"),
            (lambda: {"kty": "OKP", "kid": "x", "crv": ["Ed25519"], "x": {}}, "x", "cannot be read"),
            (lambda: private_jwk(OTHER, "private"), "private", "is a private key"),
        ],
    )
    async def test_one_key_that_is_unfit_is_ignored_and_told_once(self, path, unfit, key_id, said):
        self.write(path, jwk(RSA, "1"))
        access = self.access(path)
        self.write(path, jwk(EC, "2"), unfit())
        with capture_logs() as logged:
            for _ in range(3):
                await access.look()
        (told,) = [one for one in logged if one["event"] == "some keys of the key set are ignored"]
        assert ([key_id], True) == (list(told["keys"]), told["keys"][key_id].startswith(said))
        assert access.reader(bearer(token(EC, "ES256", "2")))
        refused(access, bearer(token(OTHER, "RS256", "private")), "access.denied", "not known here")
        with capture_logs() as logged:
            assert self.access(path).reader(bearer(token(EC, "ES256", "2")))
        assert ["some keys of the key set are ignored"] == [one["event"] for one in logged]

    def test_a_set_of_unfit_keys_only_starts_nothing_and_says_why(self, path):
        self.write(path, private_jwk(RSA, "p"))
        with pytest.raises(ConfigurationError, match=r"holds no public key for .*; key 'p' is a private key") as caught:
            self.access(path)
        assert private_jwk(RSA, "p")["d"] not in str(caught.value)

    def test_of_two_keys_of_one_id_the_one_that_fits_is_taken(self, path):
        self.write(path, jwk(RSA, "k"), jwk(OTHER, "k"), jwk(EC, "k"))
        access = self.access(path)
        for key, algorithm in ((RSA, "RS256"), (OTHER, "RS256"), (EC, "ES256")):
            assert access.reader(bearer(token(key, algorithm, "k")))
            refused(access, bearer(token(key, algorithm, "k", exp=time.time() - 60)), "access.denied", "has expired")
        another = rsa.generate_private_key(65537, 2048)
        refused(access, bearer(token(another, "RS256", "k")), "access.denied", "signature does not verify")

    async def test_a_file_that_hangs_holds_up_nobody(self, path, monkeypatch):
        self.write(path, jwk(RSA, "1"))
        access, of_the_disk, answers = self.access(path), token_keys._stamp, threading.Event()
        monkeypatch.setattr(token_keys, "_PATIENCE_S", 0.01)
        monkeypatch.setattr(token_keys, "_stamp", lambda path: answers.wait() and of_the_disk(path))
        self.write(path, jwk(OTHER, "2"))
        with capture_logs() as logged:
            for _ in range(3):
                await access.look()
                assert access.reader(bearer(token(RSA, "RS256", "1")))
        assert ["the file of keys of tokens does not answer; the former ones are kept"] == [
            one["event"] for one in logged
        ]
        answers.set()

        async def is_taken():
            await access.look()
            with suppress(RequestError):
                return access.reader(bearer(token(OTHER, "RS256", "2")))

        await eventually(is_taken)

    async def test_what_is_no_regular_file_is_not_read(self, path):
        self.write(path, jwk(RSA, "1"))
        access = self.access(path)
        path.unlink()
        os.mkfifo(path)
        with capture_logs() as logged:
            await access.look()
        assert "it is no regular file" in logged[0]["reason"]
        assert access.reader(bearer(token(RSA, "RS256", "1")))


def private_jwk(key, kid):
    return {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key)), "kid": kid}


def private_pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    ("name", "content", "algorithms", "said"),
    [
        ("key_file", b"nothing", ("RS256",), "holds no public key"),
        ("key_file", private_pem(RSA), ("RS256",), "holds no public key"),
        ("key_file", pem(RSA), ("RS256", "ES256"), "does not fit RS256, ES256"),
        ("key_file", pem(rsa.generate_private_key(65537, 1024)), ("RS256",), "1024 bits"),
        ("jwks_file", b"nothing", ("RS256",), "no JSON Web Key Set"),
        ("jwks_file", json.dumps({"keys": [jwk(EC, "e")]}).encode(), ("RS256",), "holds no public key for RS256"),
    ],
    ids=[
        "no key",
        "a private key",
        "two algorithms",
        "a small key",
        "no set",
        "no key of the algorithm",
    ],  # not the keys
)
def test_keys_that_cannot_be_used_start_nothing(tmp_path, name, content, algorithms, said):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        Access(AccessSettings(mode="jwt", algorithms=algorithms, **{name: tmp_path / "file"}), Tenancy())
    assert said in caught.value.message
    assert "PRIVATE" not in str(caught.value)
