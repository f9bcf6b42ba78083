"""Certificates for servers and clients on this machine."""

from __future__ import annotations

import datetime as dt
import inspect
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """Who signs certificates for this machine."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._certificate = self._signed(self._name, self._key, is_authority=True)

    def write(self, folder: Path, name: str) -> dict[str, str]:
        """Issue a certificate, in place of one that may be there; the files, as a server's configuration calls them."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        pem = serialization.Encoding.PEM
        written = (
            self._signed(subject, key, is_authority=False).public_bytes(pem),
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
            self._certificate.public_bytes(pem),
        )
        files = self.files(folder, name)
        for file, data in zip(files.values(), written, strict=True):
            Path(file).write_bytes(data)
        return files

    @staticmethod
    def files(folder: Path, name: str) -> dict[str, str]:
        """Where a certificate lies, its key, and whose signatures its owner trusts."""
        files = {"cert_file": f"{name}.pem", "key_file": f"{name}.key", "ca_file": f"{name}-ca.pem"}
        return {what: str(folder / file) for what, file in files.items()}

    def _signed(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, is_authority: bool) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        local = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        # What some versions of Python want of certificates.
        of_issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        use = _key_usage(key_cert_sign=True) if is_authority else _key_usage(digital_signature=True)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(local, critical=False)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(of_issuer, critical=False)
            .add_extension(use, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _key_usage(**allowed: bool) -> x509.KeyUsage:
    names = inspect.signature(x509.KeyUsage).parameters
    return x509.KeyUsage(**{name: allowed.get(name, False) for name in names})
