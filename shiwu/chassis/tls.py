"""TLS whose certificates may be exchanged while it runs (docs/decisions/0019)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import grpc
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from prometheus_client import Gauge

from shiwu.chassis.files import WatchedFiles
from shiwu.chassis.settings import ClientTls, ServerTls

_NOT_AFTER = Gauge("tls_certificate_not_after_seconds", "When a certificate expires, Unix time.", ("file",))
_log = structlog.get_logger()


class TlsError(ValueError):
    """A certificate or key cannot be used; says which file, and why."""


def server_credentials(settings: ServerTls) -> grpc.ServerCredentials:
    """Credentials that read their files again when they change: the next handshake uses the new ones.

    What cannot be used, a certificate without its new key for one, is logged, and the old ones stay.
    Raises TlsError.
    """
    files = WatchedFiles([path for path in (settings.certificate, settings.key, settings.client_ca) if path])

    def changed() -> grpc.ServerCertificateConfiguration | None:
        if not files.changed():
            return None
        try:
            return _server_configuration(settings)
        except TlsError as error:
            _log.error("the certificate stays as it was", problem=str(error))
            return None

    return grpc.dynamic_ssl_server_credentials(
        _server_configuration(settings),
        changed,  # type: ignore[arg-type]  # None is documented: nothing has changed
        require_client_authentication=settings.client_ca is not None,
    )


def client_credentials(settings: ClientTls) -> grpc.ChannelCredentials:
    """Credentials of the files as they are now. Raises TlsError."""
    if settings.ca is None:
        msg = "TLS to a server needs the CA that it is told by"
        raise TlsError(msg)
    pair = None if settings.certificate is None or settings.key is None else _pair(settings.certificate, settings.key)
    certificate, key = pair or (None, None)
    return grpc.ssl_channel_credentials(_authorities(settings.ca), key, certificate)


def client_files(settings: ClientTls) -> WatchedFiles:
    """The files that a client's credentials are made of."""
    return WatchedFiles([path for path in (settings.ca, settings.certificate, settings.key) if path])


def identities(auth_context: dict[str, Iterable[bytes]]) -> list[str]:
    """DNS names and URIs in the verified certificate of a call's client; none without one."""
    names = (*auth_context.get("peer_dns", ()), *auth_context.get("peer_uri", ()))
    return [name.decode("utf-8", "replace") for name in names]


def _server_configuration(settings: ServerTls) -> grpc.ServerCertificateConfiguration:
    if settings.certificate is None or settings.key is None:
        msg = "TLS of a server needs a certificate and its key"
        raise TlsError(msg)
    certificate, key = _pair(settings.certificate, settings.key)
    authorities = None if settings.client_ca is None else _authorities(settings.client_ca)
    return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=authorities)


def _pair(certificate: Path, key: Path) -> tuple[bytes, bytes]:
    """A certificate and its key; written one after the other, they may belong to two different renewals."""
    chain, secret = _read(certificate), _read(key)
    try:
        leaf = x509.load_pem_x509_certificates(chain)[0]
    except ValueError as error:
        msg = f"{certificate} is not a certificate in PEM form: {error}"
        raise TlsError(msg) from error
    try:
        private = load_pem_private_key(secret, None)
    except (ValueError, TypeError) as error:
        msg = f"{key} is not a private key in PEM form without a password: {error}"
        raise TlsError(msg) from error
    if leaf.public_key() != private.public_key():
        msg = f"the key {key} is not that of the certificate {certificate}"
        raise TlsError(msg)
    _NOT_AFTER.labels(str(certificate)).set(leaf.not_valid_after_utc.timestamp())
    return chain, secret


def _authorities(path: Path) -> bytes:
    bundle = _read(path)
    try:
        x509.load_pem_x509_certificates(bundle)
    except ValueError as error:
        msg = f"{path} holds no certificates in PEM form: {error}"
        raise TlsError(msg) from error
    return bundle


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise TlsError(msg) from error
