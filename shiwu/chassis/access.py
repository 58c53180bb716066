"""Who calls, and whether they may: keys, tokens, certificates, scopes, and each caller's limits. Free of grpc."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Literal

from shiwu.chassis.api_keys import KeyRecord, KeyRing, looks_like_a_key
from shiwu.chassis.errors import PermissionDeniedError, UnauthenticatedError
from shiwu.chassis.rates import Allowance, Rates
from shiwu.chassis.settings import AccessSettings, ServerSettings
from shiwu.chassis.tokens import TokenVerifier

ADMIN = "admin"
"""The scope that may do everything; what a table does not name needs it."""

_HOW = "send metadata `authorization: Bearer KEY`"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls."""

    kind: Literal["key", "token", "certificate"]
    name: str
    """The key's public id, the token's subject, or the name in the certificate."""
    scopes: frozenset[str]
    allowance: Allowance | None
    """None: no limit of their own."""

    @property
    def id(self) -> str:
        """For logs: "key:4f0c..."."""
        return f"{self.kind}:{self.name}"


current_caller: ContextVar[Caller | None] = ContextVar("current_caller", default=None)


@dataclass(frozen=True)
class AccessTable:
    """What a service asks of its callers: the one place that says which method needs which scope."""

    scopes: Mapping[str, Iterable[str]] = field(default_factory=dict)
    """By full name of the method, the scopes of which one is enough; `admin` always is, and alone for the rest."""
    callers: Mapping[str, Iterable[str]] = field(default_factory=dict)
    """By the name in a client's certificate, its scopes: the mesh's own services. Settings may say otherwise."""


class Access:
    """Lets callers in who may."""

    def __init__(self, table: AccessTable, settings: AccessSettings) -> None:
        """Raises KeyFileError."""
        self._needed = {method: frozenset(scopes) | {ADMIN} for method, scopes in table.scopes.items()}
        callers = table.callers if settings.callers is None else settings.callers
        self._services = {
            name: Caller("certificate", name, frozenset(scopes), None) for name, scopes in callers.items()
        }
        self._allowance = Allowance(settings.rate, settings.burst, settings.concurrency)
        self._keys = None if settings.keys is None else KeyRing(settings.keys)
        self._tokens = (
            None
            if settings.jwks is None
            else TokenVerifier(
                settings.jwks,
                issuer=settings.issuer,
                audience=settings.audience,
                max_hours=settings.max_token_hours,
            )
        )
        self._rates = Rates()

    async def enter(
        self, method: str, authorization: str | bytes | None, identities: Iterable[str]
    ) -> AbstractContextManager[None]:
        """Until it is left, a call of a caller who may make it.

        authorization: the metadata of that name. identities: names in the client's certificate, verified; they count
        only where nothing else was sent, so that a bad key is never made good by a certificate.
        Raises UnauthenticatedError, PermissionDeniedError, OverloadedError.
        """
        caller = self._service(identities) if authorization is None else await self._bearer(authorization)
        current_caller.set(caller)
        needed = self._needed.get(method, frozenset((ADMIN,)))
        if not caller.scopes & needed:
            msg = f"this needs the scope {' or '.join(sorted(needed))}; the {caller.kind} {caller.name} has not got it"
            raise PermissionDeniedError(msg)
        if caller.allowance is None:
            return nullcontext()
        return self._rates.serving(caller.id, caller.allowance)

    def _service(self, identities: Iterable[str]) -> Caller:
        names = list(identities)
        for name in names:
            if (caller := self._services.get(name)) is not None:
                return caller
        if names:
            msg = f"the certificate of {', '.join(names)[:200]} is no caller's that is known here; {_HOW}"
            raise PermissionDeniedError(msg)
        msg = f"no credentials; {_HOW}"
        raise UnauthenticatedError(msg)

    async def _bearer(self, authorization: str | bytes) -> Caller:
        text = authorization if isinstance(authorization, str) else ""
        scheme, _, credentials = text.partition(" ")
        if scheme.lower() != "bearer" or not credentials:
            msg = f"the metadata `authorization` is of no known kind; {_HOW}"
            raise UnauthenticatedError(msg)
        if self._keys is not None and looks_like_a_key(credentials):
            return self._holder(self._keys.find(credentials))
        if self._tokens is not None and credentials.count(".") == 2:
            claims = await self._tokens.claims(credentials)
            return Caller("token", claims.subject, claims.scopes, self._allowance)
        msg = "what was sent is neither an API key nor a token that is accepted here"
        raise UnauthenticatedError(msg)

    def _holder(self, record: KeyRecord) -> Caller:
        default = self._allowance
        allowance = Allowance(
            record.rate or default.rate, record.burst or default.burst, record.concurrency or default.concurrency
        )
        return Caller("key", record.key_id, frozenset(record.scopes), allowance)


def access(table: AccessTable, settings: ServerSettings) -> Access | None:
    """What the settings ask for; None: open to everybody. Raises KeyFileError."""
    knows_callers = settings.access.keys or settings.access.jwks or settings.tls.client_ca
    return Access(table, settings.access) if knows_callers else None
