"""Fetching pictures: from a real server, and never from where a feed must not reach."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shiwu.chassis.public_addresses import IpAddress, is_public
from shiwu.wire.fetching import Fetcher, FetchError, FetchSettings, Validators

LOOPBACK = FetchSettings(allowed_networks=(ipaddress.ip_network("127.0.0.1/32"),), attempts=1, timeout_seconds=2.0)
PNG = b"\x89PNG rest"


def answer(body: bytes = PNG, status: str = "200 OK", **headers: str) -> bytes:
    fields = {"content-type": "image/png", "content-length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return f"HTTP/1.1 {status}\r\n{head}connection: close\r\n\r\n".encode() + body


@asynccontextmanager
async def serving(
    routes: dict[str, bytes | list[bytes]], host: str = "127.0.0.1"
) -> AsyncIterator[tuple[str, list[str]]]:
    """An HTTP server; a list answers one after the other. Yields its address and the paths asked for."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        asked.append(path)
        response = routes[path]
        if isinstance(response, list):
            response = response.pop(0)
        if response == b"hang":
            await asyncio.sleep(30)
        writer.write(response)
        writer.close()

    server = await asyncio.start_server(serve, host, 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://{host}:{port}", asked
    finally:
        server.close()


async def refused(url: str, settings: FetchSettings = LOOPBACK) -> str:
    async with Fetcher(settings) as fetcher:
        with pytest.raises(FetchError) as caught:
            await fetcher.fetch(url)
    return str(caught.value)


async def test_a_picture_is_fetched_through_redirects():
    routes = {"/a": answer(b"", "302 Found", location="/b"), "/b": answer()}
    async with serving(routes) as (url, asked), Fetcher(LOOPBACK) as fetcher:
        assert await fetcher.fetch(f"{url}/a") == PNG
        assert asked == ["/a", "/b"]


@pytest.mark.parametrize(
    ("response", "problem"),
    [
        (answer(status="404 Not Found"), "was answered with status 404; expected 200"),
        (answer(status="204 No Content"), "status 204"),
        (answer(content_type="text/html; charset=utf-8"), "has the content type 'text/html'; expected image/*"),
        (answer(content_type=""), "has the content type 'none'"),
        (answer(content_length="99999999999"), "is larger than"),
        (answer(b"x" * 3000, content_length=""), "is larger than 2,000 bytes"),
        (answer(content_encoding="gzip"), "content encoding 'gzip'"),
        (answer(b"", "302 Found", location="/a"), "redirects more than 5 times"),
        (answer(b"", "302 Found", location="file:///etc/passwd"), "is not an http or https address, or leads to none"),
        (answer(b"", "304 Not Modified"), "status 304; expected 200"),
        (b"not http at all\r\n\r\n", "is not an http or https address, or leads to none"),
        (answer(status="503 Busy"), "was answered with status 503 (1 tries)"),
    ],
)
async def test_a_bad_answer_says_what_is_wrong(response: bytes, problem: str):
    async with serving({"/a": response}) as (url, _):
        assert problem in await refused(f"{url}/a", LOOPBACK.model_copy(update={"max_bytes": 2000}))


@pytest.mark.parametrize("etag", ['"caf\u00e9"', '"' + "x" * 2000 + '"', ""])
async def test_a_state_that_cannot_be_sent_back_is_not_kept(etag: str):
    head, _, body = answer().partition(b"\r\n\r\n")
    response = head + b"\r\netag: " + etag.encode("latin-1") + b"\r\n\r\n" + body
    async with serving({"/a": response}) as (url, _), Fetcher(LOOPBACK) as fetcher:
        fetched = await fetcher.fetch_if_changed(f"{url}/a", Validators())
    assert (fetched.data, fetched.validators) == (PNG, Validators())


async def test_a_server_that_hangs():
    settings = LOOPBACK.model_copy(update={"timeout_seconds": 0.3})
    async with serving({"/a": b"hang"}) as (url, _):
        assert "did not answer within 0.3 s (1 tries)" in await refused(f"{url}/a", settings)


async def test_a_closed_port_and_an_unknown_host():
    async with serving({}) as (url, _):
        pass
    assert "cannot be reached" in await refused(f"{url}/a")
    assert "has no address" in await refused("http://no-such-host.invalid/a")


async def test_an_overloaded_server_is_tried_again():
    settings = LOOPBACK.model_copy(update={"attempts": 2})
    async with serving({"/a": [answer(status="503 Busy"), answer()]}) as (url, asked), Fetcher(settings) as fetcher:
        assert await fetcher.fetch(f"{url}/a") == PNG
        assert asked == ["/a", "/a"]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "0.0.0.0",
        "100.64.0.1",
        "224.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[fe80::1]",
        "[fd00::1]",
        "[2002:7f00:1::]",
        "[64:ff9b::7f00:1]",
        "2130706433",
        "127.1",
        "0",
        "0x7f000001",
        "0x7f.0x0.0x0.0x1",
        "0x7f.1",
        "017700000001",
        "127。0。0。1",
        "LOCALHOST",
        "192.0.0.192",
        "168.63.129.16",
        "100.100.100.200",
        "198.18.0.1",
        "255.255.255.255",
        "[::]",
        "[::127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::7f00:1]",
        "[2001:0:7f00:1::]",
        "[2a00:1450::5efe:7f00:1]",
        "[2a00:1450::200:5efe:a00:1]",
        "[fec0::1]",
        "[fd00:ec2::254]",
        "[2001:db8::1]",
        "[3fff::1]",
        "[5f00::1]",
        "[ff02::1]",
        "[fe80::1%lo]",
    ],
)
async def test_addresses_of_our_own_network_are_refused(host: str):
    problem = await refused(f"http://{host}:1/a", FetchSettings(attempts=1))
    assert "is not a public address" in problem


@pytest.mark.parametrize(
    "host", ["①②⑦.⓪.⓪.①", "0177.0.0.01", "localhost.", "[::1%25lo]", "[fe80::1%25lo]", "", "127.0.0.1\\@shop.example"]
)
async def test_what_resolvers_do_not_know_is_refused_too(host: str):
    problem = await refused(f"http://{host}/a", FetchSettings(attempts=1))
    assert any(each in problem for each in ("is not an http", "has no address", "not a public", "user name")), problem


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"])
async def test_addresses_of_the_internet_are_public(address: str):
    assert is_public(ipaddress.ip_address(address))


async def test_no_address_of_a_private_network_is_public_in_any_wrapping():
    for inner in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "192.0.0.192", "0.0.0.0"):
        number = int(ipaddress.ip_address(inner))
        wrapped = [
            number | prefix << 32 for prefix in (0, 0xFFFF, 0xFFFF0000, 0x64FF9B << 64, 0x2A001450 << 64 | 0x5EFE)
        ]
        wrapped.append(0x2002 << 112 | number << 80)
        assert not any(is_public(ipaddress.IPv6Address(each)) for each in wrapped), inner


async def public(host: str, port: int) -> list[IpAddress]:
    return [ipaddress.ip_address("93.184.216.34")]


@pytest.mark.parametrize("port", [22, 25, 6379, 9200])
async def test_ports_that_are_not_the_webs_are_refused(port: int):
    async with Fetcher(FetchSettings(attempts=1), public) as fetcher:
        with pytest.raises(FetchError, match=f"is at port {port} of shop.example; expected one of 80, 443"):
            await fetcher.fetch(f"http://shop.example:{port}/a")


async def test_passwords_are_not_sent_even_by_redirect():
    assert "holds a user name or password" in await refused("http://user:secret@127.0.0.1:1/a")
    async with serving({"/b": answer()}) as (other, asked):
        location = other.replace("://", "://user:secret@") + "/b"
        async with serving({"/a": answer(b"", "302 Found", location=location)}) as (url, _):
            assert "holds a user name or password" in await refused(f"{url}/a")
        assert asked == []


async def test_cookies_are_not_kept():
    routes = {"/a": answer(set_cookie="track=1; Path=/"), "/b": answer()}
    async with serving(routes) as (url, _), Fetcher(LOOPBACK) as fetcher:
        await fetcher.fetch(f"{url}/a")
        assert not list(fetcher._client.cookies.jar)


async def test_a_server_that_drips_is_left_at_the_time_limit():
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: image/png\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a"
    assert "did not answer within 0.4 s" in await refused(url, LOOPBACK.model_copy(update={"timeout_seconds": 0.4}))
    server.close()


async def test_a_bomb_of_headers_is_refused():
    bomb = b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: %s\r\n" % (n, b"y" * 1000) for n in range(1000)) + b"\r\n"
    async with serving({"/a": bomb}) as (url, _):
        assert "is not an http or https address, or leads to none" in await refused(f"{url}/a")


async def test_a_redirect_into_our_network_is_refused_before_anything_is_sent():
    async with serving({"/secret": answer()}, "127.0.0.2") as (inside, asked):
        async with serving({"/a": answer(b"", "302 Found", location=f"{inside}/secret")}) as (url, _):
            assert "127.0.0.2, which is not a public address" in await refused(f"{url}/a")
        assert asked == []


async def test_the_address_that_was_checked_is_the_one_that_is_reached():
    """A name whose address changes between check and use (DNS rebinding) gains nothing: it is resolved once."""
    answers = [["127.0.0.1"], ["127.0.0.2"]]
    resolved: list[str] = []

    async def resolve(host: str, port: int) -> list[IpAddress]:
        resolved.append(host)
        return [ipaddress.ip_address(each) for each in answers[len(resolved) - 1]]

    async with serving({"/a": answer()}) as (url, _), Fetcher(LOOPBACK, resolve) as fetcher:
        port = url.rpartition(":")[2]
        assert await fetcher.fetch(f"http://shop.example:{port}/a") == PNG
        assert resolved == ["shop.example"]
        with pytest.raises(FetchError, match=r"shop\.example is at 127\.0\.0\.2"):
            await fetcher.fetch(f"http://shop.example:{port}/a")


async def test_one_private_address_among_public_ones_is_enough_to_refuse():
    async def resolve(host: str, port: int) -> list[IpAddress]:
        return [ipaddress.ip_address("93.184.216.34"), ipaddress.ip_address("10.0.0.1")]

    async with Fetcher(FetchSettings(attempts=1), resolve) as fetcher:
        with pytest.raises(FetchError, match=r"10\.0\.0\.1"):
            await fetcher.fetch("http://shop.example/a")


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with serving({"/a": answer()}) as (url, _), Fetcher(LOOPBACK) as fetcher:
        assert await fetcher.fetch(f"{url}/a") == PNG
