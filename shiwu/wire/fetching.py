"""Fetches pictures from merchants' web servers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Final, Self

import httpx
from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork

from shiwu.chassis.public_http import WEB_PORTS, ForbiddenAddressError, Resolver, public_client

_MOST: Final = 1000
"""Characters of a validator that is kept."""
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
    ports: tuple[int, ...] = WEB_PORTS


@dataclass(frozen=True, slots=True)
class Validators:
    """What a server calls the state of a file (RFC 9110, 8.8), for asking later whether it has changed."""

    etag: str = ""
    last_modified: str = ""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer."""

    data: bytes | None
    """None: the file is as it was."""
    validators: Validators = Validators()


class Fetcher:
    """Fetches pictures over http and https. Any number of fetches may run at the same time."""

    def __init__(self, settings: FetchSettings, resolve: Resolver | None = None) -> None:
        self._settings = settings
        self._client = public_client(
            allowed_networks=settings.allowed_networks,
            ports=settings.ports,
            connections=settings.connections,
            resolve=resolve,
            timeout=settings.timeout_seconds,
            max_redirects=settings.max_redirects,
            follow_redirects=True,
            # identity: what unpacks to gigabytes is not for us
            headers={"accept": "image/*", "accept-encoding": "identity", "user-agent": "shiwu-catalog/1"},
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
        fetched = await self.fetch_if_changed(url, Validators())
        return fetched.data or b""  # never None: only who names a state is told that it is the same

    async def fetch_if_changed(self, url: str, known: Validators) -> Fetched:
        """The picture, unless the server says that it is in the state `known`. Raises FetchError."""
        for attempt in range(1, self._settings.attempts + 1):
            try:
                async with asyncio.timeout(self._settings.timeout_seconds):
                    return await self._fetch(url, known)
            except _TransientError as error:
                problem = str(error)
            except ForbiddenAddressError as error:
                raise FetchError(str(error)) from error
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

    async def _fetch(self, url: str, known: Validators) -> Fetched:
        names = {"if-none-match": known.etag, "if-modified-since": known.last_modified}
        conditions = {name: value for name, value in names.items() if value}
        async with self._client.stream("GET", url, headers=conditions) as response:
            if response.history and conditions:
                # The state is another address's: what is there now may be older than that, and yet another picture.
                return await self._fetch(url, Validators())
            if response.status_code == httpx.codes.NOT_MODIFIED and conditions:
                return Fetched(None, known)
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
            return Fetched(await self._body(response), _validators(response))

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


def _validators(response: httpx.Response) -> Validators:
    """Those to keep: none of an address that redirects, and no time at which the file might have changed once more."""
    if response.history:
        return Validators()
    etag, modified, date = (response.headers.get(name, "") for name in ("etag", "last-modified", "date"))
    try:
        settled = parsedate_to_datetime(date) - parsedate_to_datetime(modified) > timedelta(seconds=1)
    except (TypeError, ValueError):
        settled = False
    return Validators(etag if _keepable(etag) else "", modified if settled and _keepable(modified) else "")


def _keepable(validator: str) -> bool:
    """Whether it can be stored, and be sent back."""
    return len(validator) <= _MOST and validator.isascii() and validator.isprintable()
