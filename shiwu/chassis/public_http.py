"""HTTP to the public web, for addresses that came from strangers, without letting them reach into our own network.

An address may name, or redirect to, or resolve to, a host that only we can reach (SSRF). So the check is where the
connection is made: a host name is resolved once, all of its addresses must be public, and the connection goes to
exactly the address that was checked; redirects and reconnections pass there too. What address a number, however
written, a wide character or a zone means is not guessed from the text: what the resolver makes of it is checked.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import httpcore
import httpx

from shiwu.chassis.public_addresses import IpAddress, is_public

Resolver = Callable[[str, int], Awaitable[list[IpAddress]]]

WEB_PORTS: Final = (80, 443, 8080, 8443)
"""Ports of the web; others, where mail servers and the like listen, are not talked to."""


class ForbiddenAddressError(Exception):
    """Why an address is not connected to."""


def public_client(
    *,
    allowed_networks: Sequence[Any] = (),
    ports: Sequence[int] = WEB_PORTS,
    connections: int = 16,
    resolve: Resolver | None = None,
    **options: Any,
) -> httpx.AsyncClient:
    """A client that connects to public addresses only. Its calls raise ForbiddenAddressError, too.

    allowed_networks: may be reached although they are not public, at any port. options: httpx.AsyncClient's.
    """
    return httpx.AsyncClient(
        transport=_GuardedTransport(allowed_networks, ports, connections, resolve or _resolve),
        trust_env=False,  # a proxy would resolve names itself, past the guard
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # none: strangers come one after the other
        event_hooks={"request": [_refuse_passwords]},
        **options,
    )


class _GuardedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport on a connection pool of ours, since httpx offers no other place for a network backend."""

    def __init__(self, allowed: Sequence[Any], ports: Sequence[int], connections: int, resolve: Resolver) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=connections,
            keepalive_expiry=5.0,
            network_backend=_GuardedBackend(allowed, ports, resolve),
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
                raise ForbiddenAddressError(msg)
            if port not in self._ports:
                msg = f"is at port {port} of {host}; expected one of {', '.join(map(str, self._ports))}"
                raise ForbiddenAddressError(msg)
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
        raise ForbiddenAddressError(msg)


async def _resolve(host: str, port: int) -> list[IpAddress]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)  # SOCK_STREAM
    return list(dict.fromkeys(ipaddress.ip_address(str(sockaddr[0])) for *_, sockaddr in found))
