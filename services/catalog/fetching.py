"""Fetches pictures from merchants' web servers, without letting a feed reach into our own network.

A feed is foreign data: an address in it may name, or redirect to, or resolve to, a host that only we can reach
(SSRF). So the check is where the connection is made: a host name is resolved once, all of its addresses must be
public, and the connection goes to exactly the address that was checked; redirects and reconnections pass there too.
What address a number, however written, a wide character or a zone means is not guessed from the text: what the
resolver makes of it is checked.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Any, Final, Self

import httpcore
import httpx
from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork

from services.catalog.public_addresses import IpAddress, is_public

Resolver = Callable[[str, int], Awaitable[list[IpAddress]]]

_RETRIED: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class FetchError(Exception):
    """Why a picture could not be fetched."""


class FetchSettings(BaseModel):
    """Limits of fetching."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeout_seconds: float = Field(20.0, gt=0)
    """For one picture, with redirects."""
    attempts: int = Field(3, ge=1)
    """Tries of a server that does not answer, or answers that it is overloaded."""
    max_bytes: int = Field(20 << 20, ge=1)
    max_redirects: int = Field(5, ge=0)
    connections: int = Field(16, ge=1)
    allowed_networks: tuple[IPvAnyNetwork, ...] = ()
    """Networks that may be reached although they are not public, at any port, like ["10.1.0.0/16"]."""
    ports: tuple[int, ...] = (80, 443, 8080, 8443)
    """Ports of the web; others, where mail servers and the like listen, are not talked to."""


class Fetcher:
    """Fetches pictures over http and https. Any number of fetches may run at the same time."""

    def __init__(self, settings: FetchSettings, resolve: Resolver | None = None) -> None:
        self._settings = settings
        self._client = httpx.AsyncClient(
            transport=_GuardedTransport(settings, resolve or _resolve),
            timeout=settings.timeout_seconds,
            max_redirects=settings.max_redirects,
            follow_redirects=True,
            trust_env=False,  # a proxy would resolve names itself, past the guard
            # identity: what unpacks to gigabytes is not for us
            headers={"accept": "image/*", "accept-encoding": "identity", "user-agent": "shiwu-catalog/1"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # none: merchants come one after the other
            event_hooks={"request": [_refuse_passwords]},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends all connections."""
        await self._client.aclose()

    async def fetch(self, url: str) -> bytes:
        """The picture at an http or https address. Raises FetchError, which says why not."""
        for attempt in range(1, self._settings.attempts + 1):
            try:
                async with asyncio.timeout(self._settings.timeout_seconds):
                    return await self._fetch(url)
            except _TransientError as error:
                problem = str(error)
            except TimeoutError:
                problem = f"did not answer within {self._settings.timeout_seconds:g} s"
            except httpx.TooManyRedirects as error:
                msg = f"redirects more than {self._settings.max_redirects} times"
                raise FetchError(msg) from error
            except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.RemoteProtocolError) as error:
                msg = f"is not an http or https address, or leads to none: {error}"
                raise FetchError(msg) from error
            except httpx.TransportError as error:
                problem = f"cannot be reached: {str(error) or type(error).__name__}"
            if attempt < self._settings.attempts:
                await asyncio.sleep(0.5 * 2 ** (attempt - 1))
        msg = f"{problem} ({self._settings.attempts} tries)"
        raise FetchError(msg)

    async def _fetch(self, url: str) -> bytes:
        async with self._client.stream("GET", url) as response:
            if response.status_code in _RETRIED:
                msg = f"was answered with status {response.status_code}"
                raise _TransientError(msg)
            if response.status_code != httpx.codes.OK:
                msg = f"was answered with status {response.status_code}; expected 200"
                raise FetchError(msg)
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if not kind.startswith("image/"):
                msg = f"has the content type {kind or 'none'!r}; expected image/*"
                raise FetchError(msg)
            if (coding := response.headers.get("content-encoding", "identity").lower()) != "identity":
                msg = f"is sent with the content encoding {coding[:50]!r}; expected none"
                raise FetchError(msg)
            return await self._body(response)

    async def _body(self, response: httpx.Response) -> bytes:
        limit = self._settings.max_bytes
        announced = response.headers.get("content-length", "")
        body = bytearray()
        if not (announced.isdigit() and int(announced) > limit):
            async for chunk in response.aiter_raw(1 << 16):
                body += chunk
                if len(body) > limit:
                    break
            else:
                return bytes(body)
        msg = f"is larger than {limit:,} bytes"
        raise FetchError(msg)


class _TransientError(Exception):
    """Worth another try."""


class _GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport on a connection pool of ours, since httpx offers no other place for a network backend."""

    def __init__(self, settings: FetchSettings, resolve: Resolver) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=settings.connections,
            keepalive_expiry=5.0,
            network_backend=_GuardedBackend(settings.allowed_networks, settings.ports, resolve),
        )


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only, at ports of the web."""

    def __init__(self, allowed: Sequence[Any], ports: Sequence[int], resolve: Resolver) -> None:
        self._allowed = allowed
        self._ports = ports
        self._resolve = resolve
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore's own)
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            addresses = await self._resolve(host, port)
        except OSError as error:
            msg = f"the host {host} has no address"
            raise httpcore.ConnectError(msg) from error
        for address in addresses:
            if any(address in network for network in self._allowed if network.version == address.version):
                continue
            if not is_public(address):
                msg = f"the host {host} is at {address}, which is not a public address"
                raise FetchError(msg)
            if port not in self._ports:
                msg = f"is at port {port} of {host}; expected one of {', '.join(map(str, self._ports))}"
                raise FetchError(msg)
        failure: Exception = httpcore.ConnectError(f"the host {host} has no address")
        for address in addresses:
            try:
                return await self._backend.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def _refuse_passwords(request: httpx.Request) -> None:
    if request.url.userinfo:
        msg = "holds a user name or password; expected an address that everybody may fetch"
        raise FetchError(msg)


async def _resolve(host: str, port: int) -> list[IpAddress]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)  # SOCK_STREAM
    return list(dict.fromkeys(ipaddress.ip_address(str(sockaddr[0])) for *_, sockaddr in found))
