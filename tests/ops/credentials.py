"""Keys, tokens and headers to come with, and what is said to whoever is refused."""

from __future__ import annotations

import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

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


def pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def kind_of(key):
    kind = {rsa.RSAPrivateKey: "RSAAlgorithm", ec.EllipticCurvePrivateKey: "ECAlgorithm"}
    return getattr(jwt.algorithms, next((name for one, name in kind.items() if isinstance(key, one)), "OKPAlgorithm"))


def jwk(key, kid, **more):
    return {**json.loads(kind_of(key).to_jwk(key.public_key())), "kid": kid, **more}


def token(key=RSA, algorithm="RS256", kid=None, **claims):
    made = {"tenant_id": "t", "exp": time.time() + 3_600, **claims}  # some are made long before they are shown
    sent = {name: value for name, value in made.items() if value is not None}
    return jwt.encode(sent, key, algorithm, headers=None if kid is None else {"kid": kid})


def bearer(text):
    return headers(authorization=f"Bearer {text}")


def private_jwk(key, kid):
    return {**json.loads(kind_of(key).to_jwk(key)), "kid": kid}


def private_pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
