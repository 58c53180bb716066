"""Asks a site for its files, one request at a time and never sooner than it wants."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from offline.indexing.crawl.robots import MAX_BYTES, RobotsFile
from offline.indexing.crawl.sites import Sites
from shiwu.chassis.public_http import ForbiddenAddressError


class UnansweredError(Exception):
    """Why an address was not answered: nothing to do with what is there, and worth another try later."""


class RefusedError(Exception):
    """Why what was answered is of no use."""

    def __init__(self, reason: str, *, gone: bool = False) -> None:
        """gone: there is nothing at this address."""
        super().__init__(reason)
        self.gone = gone


@dataclass(frozen=True, slots=True)
class Answer:
    """A file, or where it is."""

    body: bytes
    content_type: str
    robots_tags: tuple[str, ...] = ()
    redirect: str = ""
    """Where to ask instead; empty: nowhere."""


class Visitor:
    """Visits one site."""

    def __init__(self, client: httpx.AsyncClient, sites: Sites, delay: float) -> None:
        """delay: seconds between an answer and the next request."""
        self._client = client
        self._sites = sites
        self.delay = delay
        self._ready = 0.0

    async def robots(self, url: str) -> RobotsFile:
        """The site's robots.txt, wherever it redirects to."""
        try:
            await self._pace()
            async with asyncio.timeout(self._sites.timeout_seconds):
                async with self._client.stream("GET", url, follow_redirects=True) as response:
                    body = await _read(response, MAX_BYTES, cut=True) if response.status_code == httpx.codes.OK else b""
                    return RobotsFile(response.status_code, body.decode("utf-8-sig", "replace"), time.time())
        except (httpx.HTTPError, httpx.InvalidURL, ForbiddenAddressError, TimeoutError) as error:
            return RobotsFile(0, str(error) or type(error).__name__, time.time())
        finally:
            self.rest()

    async def get(self, url: str, max_bytes: int) -> Answer:
        """Raises UnansweredError or RefusedError."""
        problem = ""
        for _ in range(self._sites.attempts):
            try:
                await self._pace()
                async with asyncio.timeout(self._sites.timeout_seconds):
                    return await self._get(url, max_bytes)
            except _BusyError as busy:
                problem = f"was answered with status {busy.status}"
                if busy.wait > self._sites.longest_wait_seconds:
                    msg = f"{problem}, and asks to wait for {busy.wait:,.0f} s"
                    raise UnansweredError(msg) from busy
                self.rest(busy.wait)
            except TimeoutError:
                problem = f"did not answer within {self._sites.timeout_seconds:g} s"
            except ForbiddenAddressError as error:
                msg = f"leads where only we can go: {error}"
                raise RefusedError(msg) from error
            except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
                msg = f"is no address that can be asked for: {error}"
                raise RefusedError(msg) from error
            except httpx.DecodingError as error:
                msg = f"cannot be unpacked: {error}"
                raise RefusedError(msg) from error
            except httpx.HTTPError as error:
                problem = f"cannot be reached: {str(error) or type(error).__name__}"
            finally:
                self.rest()
        raise UnansweredError(problem)

    async def _get(self, url: str, max_bytes: int) -> Answer:
        async with self._client.stream("GET", url) as response:
            status = response.status_code
            if status == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
                raise _BusyError(status, _wait(response))
            if response.is_redirect:
                return Answer(b"", "", redirect=str(response.headers.get("location", "")))
            if status != httpx.codes.OK:
                msg = f"was answered with status {status}"
                raise RefusedError(msg, gone=status in (httpx.codes.NOT_FOUND, httpx.codes.GONE))
            tags = tuple(response.headers.get_list("x-robots-tag"))
            return Answer(await _read(response, max_bytes), response.headers.get("content-type", ""), tags)

    async def _pace(self) -> None:
        await asyncio.sleep(max(0.0, self._ready - asyncio.get_running_loop().time()))

    def rest(self, seconds: float = 0.0) -> None:
        """Lets the site rest before the next request, for its delay or longer."""
        self._ready = max(self._ready, asyncio.get_running_loop().time() + max(self.delay, seconds))


class _BusyError(Exception):
    def __init__(self, status: int, wait: float) -> None:
        super().__init__(status, wait)
        self.status = status
        self.wait = wait


def _wait(response: httpx.Response) -> float:
    """Seconds that a busy server asks to wait; 0 if it does not say."""
    said = response.headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return float(said[:9])
    try:
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


async def _read(response: httpx.Response, max_bytes: int, *, cut: bool = False) -> bytes:
    """The body, unpacked. cut: a longer one is cut; else RefusedError."""
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > max_bytes:
            if cut:
                break
            msg = f"is larger than {max_bytes:,} bytes"
            raise RefusedError(msg)
    return bytes(body[:max_bytes])
