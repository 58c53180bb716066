"""JSON Web Tokens of one issuer, checked against its published keys (RFC 7519, 7517, 8725). Free of grpc."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import jwt
import structlog

from shiwu.chassis.errors import UnauthenticatedError, UnavailableError

# Signatures with a private key only: where HS256 is allowed, the public key is a password that everybody knows.
ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")
_REQUIRED: Final = ["exp", "nbf", "iss", "aud", "sub"]
_LEEWAY: Final = 10.0  # seconds that clocks may differ
_FRESH: Final = 300.0  # seconds after which the keys are asked for again
_USABLE: Final = 3600.0  # seconds that keys are still trusted when asking fails
_PAUSE: Final = 10.0  # seconds between two asks, so that made-up key ids do not become an attack on the issuer
_TIMEOUT: Final = 5.0
_MAX_BYTES: Final = 1 << 20
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says."""

    subject: str
    scopes: frozenset[str]


class TokenVerifier:
    """Checks tokens: signature, algorithm, issuer, audience, times."""

    def __init__(self, jwks: str, *, issuer: str, audience: str, max_hours: float) -> None:
        """jwks: https URL or path of the issuer's keys. max_hours: longest life of a token that is accepted."""
        self._keys = _PublishedKeys(jwks)
        self._issuer = issuer
        self._audience = audience
        self._max_seconds = max_hours * 3600

    async def claims(self, token: str) -> Claims:
        """Raises UnauthenticatedError: the token is not valid; UnavailableError: the issuer's keys cannot be had."""
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") not in ALGORITHMS:  # before a key is looked for
                msg = f"the token's algorithm is not one of {', '.join(ALGORITHMS)}"
                raise UnauthenticatedError(msg)
            payload = jwt.decode(
                token,
                key=await self._keys.find(header.get("kid", "")),
                algorithms=list(ALGORITHMS),
                issuer=self._issuer,
                audience=self._audience,
                leeway=_LEEWAY,
                options={"require": _REQUIRED},
            )
        except jwt.PyJWTError as error:
            msg = f"the token is not valid: {error}"
            raise UnauthenticatedError(msg) from error
        if payload["exp"] - payload["nbf"] > self._max_seconds:
            msg = f"the token is valid for longer than {self._max_seconds / 3600:g} hours"
            raise UnauthenticatedError(msg)
        scope = payload.get("scope", "")
        return Claims(str(payload["sub"]), frozenset(scope.split()) if isinstance(scope, str) else frozenset())


class _PublishedKeys:
    """The issuer's JSON Web Key Set, kept for a while and asked for again when a token names a key that is new."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._keys: dict[str, jwt.PyJWK] = {}
        self._loaded = float("-inf")
        self._asked = float("-inf")
        self._lock = asyncio.Lock()

    async def find(self, key_id: str) -> jwt.PyJWK:
        now = time.monotonic()
        if now - self._loaded > _FRESH or key_id not in self._keys:
            async with self._lock:
                await self._refresh()
        if now - self._loaded > _USABLE:
            msg = "the issuer's keys, which tokens are checked with, cannot be had"
            raise UnavailableError(msg)
        try:
            return self._keys[key_id]
        except KeyError as error:
            msg = "the token is not valid: its issuer has no such key"
            raise UnauthenticatedError(msg) from error

    async def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._asked < _PAUSE:
            return
        self._asked = now
        try:
            self._keys = _signing_keys(await self._read())
        except Exception as error:  # whatever it is that the issuer, or somebody between, answers
            _log.warning("the issuer's keys cannot be had", source=self._source, problem=repr(error))
            return
        self._loaded = time.monotonic()

    async def _read(self) -> bytes:
        if not self._source.startswith("https://"):
            return await asyncio.to_thread(Path(self._source).read_bytes)
        context = ssl.create_default_context()
        async with (
            httpx.AsyncClient(verify=context, timeout=_TIMEOUT, trust_env=False) as client,
            asyncio.timeout(_TIMEOUT),
            client.stream("GET", self._source) as response,
        ):
            response.raise_for_status()  # a redirect is an error too: the keys are where the operator said
            body = b""
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MAX_BYTES:
                    msg = f"is larger than {_MAX_BYTES:,} bytes"
                    raise ValueError(msg)
        return body


def _signing_keys(body: bytes) -> dict[str, jwt.PyJWK]:
    found: dict[str, jwt.PyJWK] = {}
    for each in json.loads(body)["keys"]:
        # Secrets ("oct") and keys for encryption sign nothing here; kinds that are unknown are others' business.
        if each.get("kty") in ("RSA", "EC", "OKP") and each.get("use", "sig") == "sig" and each.get("kid"):
            try:
                found[each["kid"]] = jwt.PyJWK(each)
            except jwt.PyJWTError as error:
                _log.warning("a key of the issuer is left out", key_id=each["kid"], problem=str(error))
    return found
