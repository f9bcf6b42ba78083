"""The file of keys that tokens are signed with: which keys count, and what is said of all others."""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from contextlib import suppress
from itertools import product
from pathlib import Path

import pytest
from credentials import EC, ED, OTHER, RSA, bearer, jwk, pem, private_jwk, private_pem, refused, token
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from patience import WITHIN_S, eventually
from structlog.testing import capture_logs

from projection.errors import ConfigurationError
from projection.model.envelope import Tenancy
from projection.model.http_settings import AccessSettings
from projection.ops.http import token_keys
from projection.ops.http.access import Access
from projection.ops.http.problems import RequestError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jwks.json"


@pytest.fixture(autouse=True)
def _look_always(monkeypatch):
    monkeypatch.setattr(token_keys, "_LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(token_keys, "_PATIENCE_S", WITHIN_S)


def write(path, *keys):
    path.write_text(json.dumps({"keys": keys}))
    os.utime(path, ns=(time.time_ns(), time.time_ns()))


def access_by(path, *algorithms):
    return Access(
        AccessSettings(mode="jwt", jwks_file=path, algorithms=algorithms or ("RS256", "ES256", "EdDSA")), Tenancy()
    )


def test_each_kind_of_key_is_taken_by_its_id(path):
    write(path, jwk(RSA, "r"), jwk(EC, "e"), jwk(ED, "d"))
    access = access_by(path)
    for key, algorithm, kid in ((RSA, "RS256", "r"), (EC, "ES256", "e"), (ED, "EdDSA", "d")):
        assert access.reader(bearer(token(key, algorithm, kid)))
    refused(access, bearer(token(RSA, "RS256", "nobody's")), "access.denied", "not known here")
    refused(access, bearer(token(RSA, "RS256", None)), "access.denied", "not known here")
    refused(access, bearer(token(RSA, "RS256", "e")), "access.denied")


def test_a_key_is_for_its_own_algorithm(path):
    write(path, jwk(RSA, "r", alg="RS512"))
    access = access_by(path, "RS256", "RS512")
    assert access.reader(bearer(token(RSA, "RS512", "r")))
    refused(access, bearer(token(RSA, "RS256", "r")), "access.denied", "algorithm")


def test_secrets_and_keys_for_other_ends_are_passed_over(path):
    secret = {"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U", "kid": "s"}
    write(path, secret, jwk(OTHER, "enc", use="enc"), {"kty": "EC", "crv": "P-0"}, jwk(RSA, "r"))
    access = access_by(path)
    assert access.reader(bearer(token()))  # the one that is left
    refused(access, bearer(token(OTHER, "RS256", "enc")), "access.denied", "not known here")


async def test_keys_change_with_their_file_and_former_tokens_with_them(path):
    write(path, jwk(RSA, "1"))
    access, former, latter = access_by(path), bearer(token(RSA, "RS256", "1")), bearer(token(OTHER, "RS256", "2"))
    assert access.reader(former)
    write(path, jwk(OTHER, "2"))
    await access.look()
    assert access.reader(latter)
    refused(access, former, "access.denied", "not known here")


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"keys": 7}', '{"keys": []}', '{"keys": [7]}', None])
async def test_a_file_that_is_broken_for_a_while_leaves_the_keys_as_they_were(path, broken):
    write(path, jwk(RSA, "1"))
    access = access_by(path)
    path.unlink() if broken is None else path.write_text(broken)
    with capture_logs() as logged:
        for _ in range(3):
            await access.look()
        assert access.reader(bearer(token(RSA, "RS256", "1")))
    assert ["the new keys of tokens cannot be read; the former ones are kept"] == [one["event"] for one in logged]
    write(path, jwk(OTHER, "2"))
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
    ],
)
async def test_one_key_that_is_unfit_is_ignored_and_told_once(path, unfit, key_id, said):
    write(path, jwk(RSA, "1"))
    access = access_by(path)
    write(path, jwk(EC, "2"), unfit())
    with capture_logs() as logged:
        for _ in range(3):
            await access.look()
    (told,) = [one for one in logged if one["event"] == "some keys of the key set are ignored"]
    assert ([key_id], True) == (list(told["keys"]), told["keys"][key_id].startswith(said))
    assert access.reader(bearer(token(EC, "ES256", "2")))
    with capture_logs() as logged:
        assert access_by(path).reader(bearer(token(EC, "ES256", "2")))
    assert ["some keys of the key set are ignored"] == [one["event"] for one in logged]


@pytest.mark.parametrize(("key", "algorithm"), [(OTHER, "RS256"), (EC, "ES256"), (ED, "EdDSA")])
async def test_a_private_key_and_its_public_one_are_refused_with_a_word(path, key, algorithm):
    """Whoever has read the file can sign with it: whichever private member is there, and whatever it is said to be for."""
    whole, public = private_jwk(key, "private"), jwk(key, "public")
    members = sorted(whole.keys() - public.keys())
    assert "d" in members
    access, valid = None, bearer(token(RSA, "RS256", "1"))
    for member, more in product(members, ({}, {"use": "enc"}, {"alg": "none"})):
        write(path, public, jwk(RSA, "1"), {**jwk(key, "private"), member: whole[member], **more})
        with capture_logs() as logged:
            if access is None:
                access = access_by(path)
            await access.look()
        (told,) = [one for one in logged if one["log_level"] == "error"]
        assert ("the file of keys of tokens holds private keys; they and their public keys are refused") == told[
            "event"
        ]
        assert (str(path), ["public", "private"]) == (told["path"], told["keys"])
        assert "have your provider replace them" in told["hint"]
        assert whole[member] not in str(logged)
        assert access.reader(valid)
        for kid in ("private", "public"):
            refused(access, bearer(token(key, algorithm, kid)), "access.denied", "not known here")


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(("kty", "kid", "use", "alg", "crv", "n", "e", "x", "y", "d", "p", "oth", "k")),
            st.sampled_from(("RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "sig", "AQAB"))
            | st.recursive(st.none() | st.booleans() | st.integers(), st.lists, max_leaves=2),
        )
        | st.none()
        | st.text(max_size=3)
        | st.lists(st.none(), max_size=2),
        max_size=5,
    )
)
def test_whatever_a_set_holds_its_sound_keys_count(others):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "jwks.json")
        write(path, *others, jwk(RSA, "sound"))
        access = access_by(path)
    assert access.reader(bearer(token(RSA, "RS256", "sound")))


def test_a_set_of_unfit_keys_only_starts_nothing_and_says_why(path):
    write(path, private_jwk(RSA, "p"))
    with pytest.raises(ConfigurationError, match=r"holds no public key for .*; key 'p' is a private key") as caught:
        access_by(path)
    assert "have your provider replace them" in caught.value.hint
    assert private_jwk(RSA, "p")["d"] not in str(caught.value)


def test_of_two_keys_of_one_id_the_one_that_fits_is_taken(path):
    write(path, jwk(RSA, "k"), jwk(OTHER, "k"), jwk(EC, "k"))
    access = access_by(path)
    for key, algorithm in ((RSA, "RS256"), (OTHER, "RS256"), (EC, "ES256")):
        assert access.reader(bearer(token(key, algorithm, "k")))
        refused(access, bearer(token(key, algorithm, "k", exp=time.time() - 60)), "access.denied", "has expired")
    another = rsa.generate_private_key(65537, 2048)
    refused(access, bearer(token(another, "RS256", "k")), "access.denied", "signature does not verify")


async def test_a_file_that_hangs_holds_up_nobody(path, monkeypatch):
    write(path, jwk(RSA, "1"))
    access, of_the_disk, answers = access_by(path), token_keys._stamp, threading.Event()
    monkeypatch.setattr(token_keys, "_PATIENCE_S", 0.01)
    monkeypatch.setattr(token_keys, "_stamp", lambda path: answers.wait() and of_the_disk(path))
    write(path, jwk(OTHER, "2"))
    with capture_logs() as logged:
        for _ in range(3):
            await access.look()
            assert access.reader(bearer(token(RSA, "RS256", "1")))
    assert ["the file of keys of tokens does not answer; the former ones are kept"] == [one["event"] for one in logged]
    answers.set()

    async def is_taken():
        await access.look()
        with suppress(RequestError):
            return access.reader(bearer(token(OTHER, "RS256", "2")))

    await eventually(is_taken)


async def test_what_is_no_regular_file_is_not_read(path):
    write(path, jwk(RSA, "1"))
    access = access_by(path)
    path.unlink()
    os.mkfifo(path)
    with capture_logs() as logged:
        await access.look()
    assert "it is no regular file" in logged[0]["reason"]
    assert access.reader(bearer(token(RSA, "RS256", "1")))


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
