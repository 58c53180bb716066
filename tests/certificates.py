"""A certificate authority for tests, and what it signs."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from shiwu.chassis.settings import ClientTls, ServerTls


class Authority:
    """Signs certificates for names at 127.0.0.1."""

    def __init__(self, name: str = "test CA") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        builder = _builder(self._name, self._name, timedelta(days=1)).public_key(self._key.public_key())
        certificate = builder.add_extension(constraints, critical=True).sign(self._key, hashes.SHA256())
        self.pem = certificate.public_bytes(Encoding.PEM)

    def issue(self, folder: Path, name: str, *, life: timedelta = timedelta(hours=1), authorities: bytes = b"") -> Pair:
        """Writes a certificate for the name, its key, and the CAs (this one, if no others are given) to the folder."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"anything but {name}")])
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        names = x509.SubjectAlternativeName([x509.DNSName(name), address])
        builder = _builder(subject, self._name, life).public_key(key.public_key())
        certificate = builder.add_extension(names, critical=False).sign(self._key, hashes.SHA256())
        pair = Pair(folder, name)
        folder.mkdir(parents=True, exist_ok=True)
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        _replace(pair.certificate, certificate.public_bytes(Encoding.PEM))
        _replace(pair.key, secret)
        _replace(pair.ca, authorities or self.pem)
        return pair


class Pair:
    """A certificate and its key, with the CAs to trust beside them."""

    def __init__(self, folder: Path, name: str) -> None:
        self.certificate, self.key, self.ca = (folder / f"{name}.{part}.pem" for part in ("crt", "key", "ca"))

    def server(self, *, mutual: bool = True) -> ServerTls:
        return ServerTls(certificate=self.certificate, key=self.key, client_ca=self.ca if mutual else None)

    def client(self, *, mutual: bool = True) -> ClientTls:
        if not mutual:
            return ClientTls(ca=self.ca)
        return ClientTls(ca=self.ca, certificate=self.certificate, key=self.key)


def _builder(subject: x509.Name, issuer: x509.Name, life: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
    return (
        builder.serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + life)
    )


def _replace(path: Path, data: bytes) -> None:
    beside = path.with_suffix(".new")
    beside.write_bytes(data)
    beside.replace(path)
