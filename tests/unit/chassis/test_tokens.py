"""Tokens: what is valid, the ways to forge one, and the issuer's keys that change or are out of reach."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from shiwu.chassis import tokens
from shiwu.chassis.errors import UnauthenticatedError, UnavailableError
from shiwu.chassis.tokens import TokenVerifier
from tests.certificates import Authority

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
ISSUER, AUDIENCE = "https://issuer.example", "shiwu"


def published(key: Any, kid: str, **more: str) -> dict[str, Any]:
    kinds = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}
    algorithm = next((each for kind, each in kinds.items() if isinstance(key, kind)), OKPAlgorithm)
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig", **more}


KEYS = [published(RSA, "rsa"), published(EC, "ec"), published(ED, "ed"), {"kty": "oct", "kid": "oct", "k": "c2VjcmV0"}]


def token(key: Any = RSA, kid: str | None = "rsa", algorithm: str = "RS256", **changes: Any) -> str:
    """A token; a claim that is None is left out. Valid for long: parameters of tests are made at their collection."""
    now = time.time()
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "me", "nbf": now - 5, "exp": now + 7200, "scope": "scan other"}
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid} if kid else {})


def by_hand(header: dict[str, Any], signature: bytes = b"", secret: bytes | None = None) -> str:
    """A token that no library would make."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "me", "nbf": now - 5, "exp": now + 7200, "scope": "admin"}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    body = b".".join(parts)
    if secret is not None:
        signature = hmac.digest(secret, body, hashlib.sha256)
    return (body + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def verifier(source: Path | str) -> TokenVerifier:
    return TokenVerifier(str(source), issuer=ISSUER, audience=AUDIENCE, max_hours=24)


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": KEYS}))
    return path


@pytest.mark.parametrize(("key", "kid", "algorithm"), [(RSA, "rsa", "RS256"), (EC, "ec", "ES256"), (ED, "ed", "EdDSA")])
async def test_a_valid_token_says_who_calls(jwks: Path, key: Any, kid: str, algorithm: str) -> None:
    claims = await verifier(jwks).claims(token(key, kid, algorithm))
    assert (claims.subject, claims.scopes) == ("me", {"scan", "other"})


PUBLIC_PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
PUBLIC_DER = RSA.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    ("forged", "problem"),
    [
        (by_hand({"alg": "none", "kid": "rsa"}), "algorithm"),
        (by_hand({"alg": "None", "kid": "rsa"}), "algorithm"),
        (by_hand({"alg": "HS256", "kid": "rsa"}, secret=PUBLIC_PEM), "algorithm"),
        (by_hand({"alg": "HS256", "kid": "rsa"}, secret=PUBLIC_DER), "algorithm"),
        (by_hand({"alg": "HS256", "kid": "oct"}, secret=b"secret"), "algorithm"),
        (by_hand({"alg": "RS256", "kid": "rsa"}), "Signature"),
        (by_hand({"alg": "RS256", "kid": "ec"}), "not valid"),
        (by_hand({"alg": "RS256", "kid": "oct"}), "no such key"),
        (by_hand({"alg": "RS256", "kid": ["rsa"]}), "Key ID"),
        (by_hand({"alg": "RS256", "kid": {"a": 1}}), "Key ID"),
        (by_hand({"alg": "RS256", "kid": "rsa", "crit": ["x"]}), "crit"),
        (by_hand({"alg": "RS256", "kid": "rsa", "jwk": KEYS[0], "jku": "https://evil.example"}), "Signature"),
        (token(rsa.generate_private_key(65537, 2048)), "Signature"),
        (token(EC, "rsa", "ES256"), "not valid"),
        (token(kid=None), "no such key"),
        (token(kid="unknown"), "no such key"),
        (token(exp=time.time() - 60), "expired"),
        (token(nbf=time.time() + 86_400), "not yet valid"),
        (token(iss="https://other.example"), "ssuer"),
        (token(aud="another-mesh"), "udience"),
        (token(exp=time.time() + 25 * 3600), "longer than 24 hours"),
        *((token(**{claim: None}), claim) for claim in ("exp", "nbf", "iss", "aud", "sub")),
        ("a.b.c", "header"),
        ("..", "header"),
        (token()[:-8] + "AAAAAAAA", "Signature"),
    ],
)
async def test_a_token_that_is_not_valid_is_refused(jwks: Path, forged: str, problem: str) -> None:
    with pytest.raises(UnauthenticatedError, match=problem):
        await verifier(jwks).claims(forged)


@pytest.mark.parametrize("scope", [None, 5, ["scan"], {"scan": 1}, ""])
async def test_a_scope_that_is_no_list_of_words_gives_nothing(jwks: Path, scope: Any) -> None:
    assert (await verifier(jwks).claims(token(scope=scope))).scopes == frozenset()


@pytest.mark.parametrize("moment", ["soon", True, [], 1e400])
async def test_times_that_are_none_are_refused(jwks: Path, moment: Any) -> None:
    with pytest.raises(UnauthenticatedError):
        await verifier(jwks).claims(token(exp=moment))


async def test_the_issuers_keys_rotate(jwks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_PAUSE", 0.1)
    checking, new = verifier(jwks), rsa.generate_private_key(65537, 2048)
    before = token()
    assert await checking.claims(before)
    await asyncio.to_thread(jwks.write_text, json.dumps({"keys": [published(new, "new")]}))
    await asyncio.sleep(0.2)
    assert await checking.claims(token(new, "new"))
    with pytest.raises(UnauthenticatedError, match="no such key"):
        await checking.claims(before)


async def test_made_up_key_ids_are_no_attack_on_the_issuer(jwks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checking, reads = verifier(jwks), []
    read = checking._keys._read

    async def counted() -> bytes:
        reads.append(1)
        return await read()

    monkeypatch.setattr(checking._keys, "_read", counted)

    async def refused(number: int) -> None:
        with pytest.raises(UnauthenticatedError):
            await checking.claims(token(kid=f"made-up-{number}"))

    await asyncio.gather(*map(refused, range(50)))
    assert len(reads) == 1


async def test_keys_that_cannot_be_had(tmp_path: Path, jwks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for content in (None, "nonsense", '{"keys": 5}', "[]", '{"keys": ["x"]}'):
        path = tmp_path / "none.json"
        if content is not None:
            path.write_text(content)
        with pytest.raises(UnavailableError):
            await verifier(path).claims(token())
    monkeypatch.setattr(tokens, "_PAUSE", 0.0)
    monkeypatch.setattr(tokens, "_FRESH", 0.0)
    checking = verifier(jwks)
    assert await checking.claims(token())
    await asyncio.to_thread(jwks.unlink)
    assert await checking.claims(token()), "an outage of the issuer is not yet one of ours"
    monkeypatch.setattr(tokens, "_USABLE", 0.0)
    with pytest.raises(UnavailableError):
        await checking.claims(token())


@asynccontextmanager
async def issuer(answer: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """An https server; its CA is one of those that this machine trusts."""
    pair = Authority().issue(folder, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    monkeypatch.setenv("SSL_CERT_FILE", str(pair.ca))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    yield f"https://localhost:{server.sockets[0].getsockname()[1]}/jwks"
    server.close()


def response(body: bytes, status: str = "200 OK", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{more}\r\n".encode() + body


async def test_keys_come_over_https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps({"keys": KEYS}).encode()
    async with issuer(response(body), tmp_path, monkeypatch) as url:
        assert await verifier(url).claims(token())
        monkeypatch.delenv("SSL_CERT_FILE")
        with pytest.raises(UnavailableError):  # of a CA that nobody trusts
            await verifier(url).claims(token())
    for bad in (
        response(b"", "302 Found", "location: https://evil.example/\r\n"),
        response(b"", "500 Oops"),
        response(b" " * (2 << 20)),
    ):
        async with issuer(bad, tmp_path, monkeypatch) as url:
            with pytest.raises(UnavailableError):
                await verifier(url).claims(token())
