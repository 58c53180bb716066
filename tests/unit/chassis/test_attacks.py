"""Clients that mean harm at the level of connections: a server goes on answering the others."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from shiwu.chassis.channel import connect
from shiwu.chassis.server import running
from shiwu.chassis.settings import ServerSettings
from tests.unit.chassis.echo_service import NAME, UNARY, add_echo
from tests.unit.chassis.test_errors import failure

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, CONTINUATION = 0, 1, 3, 4, 9
END_HEADERS = 4
# HPACK: :method POST, :scheme http, then literals without indexing.
REQUEST = b"\x83\x86"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def literal(name: bytes, value: bytes) -> bytes:
    return b"\x00" + _length(name) + name + _length(value) + value


def _length(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes([len(text)])
    rest, encoded = len(text) - 127, bytearray([127])
    while rest >= 128:
        encoded.append(rest % 128 | 128)
        rest //= 128
    return bytes([*encoded, rest])


CALL = REQUEST + literal(b":path", UNARY.encode()) + literal(b":authority", b"x")
CALL += literal(b"content-type", b"application/grpc") + literal(b"te", b"trailers")


@asynccontextmanager
async def serving(**settings: float) -> AsyncIterator[tuple[int, grpc.aio.Channel]]:
    options = ServerSettings(port=0, drain_seconds=0.1, **settings)
    async with running(NAME, add_echo, options) as port, connect(f"127.0.0.1:{port}") as channel:
        await channel.unary_unary(UNARY)(b"0", timeout=5.0)
        yield port, channel


async def still_serves(port: int) -> None:
    async with connect(f"127.0.0.1:{port}") as channel:
        start = time.perf_counter()
        assert await channel.unary_unary(UNARY)(b"0", timeout=5.0)
        assert time.perf_counter() - start < 3.0


async def closed_within(reader: asyncio.StreamReader, seconds: float) -> bool:
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(seconds):
            while await reader.read(1 << 16):
                pass
    return True


@pytest.mark.parametrize("metadata", [[("x-bomb", "y" * 200_000)], [(f"x-{n}", "y" * 20) for n in range(5_000)]])
async def test_a_bomb_of_metadata_is_refused(metadata: list[tuple[str, str]]) -> None:
    async with serving() as (port, channel):
        error = await failure(channel.unary_unary(UNARY)(b"0", metadata=metadata, timeout=5.0))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await still_serves(port)


async def test_headers_without_end_do_not_fill_the_memory() -> None:
    async with serving() as (port, _):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, 0, 1, CALL))
        more = frame(CONTINUATION, 0, 1, literal(b"x-more", b"y" * 16_000))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with contextlib.suppress(ConnectionError):
            for _ in range(24_000):  # 384 MB
                writer.write(more)
                await writer.drain()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 192 * 1024, f"{grown} KiB"
        writer.close()
        await still_serves(port)


async def test_calls_begun_and_cancelled_at_once_without_number() -> None:
    """HTTP/2 rapid reset."""
    async with serving(max_concurrent_rpcs=4) as (port, _):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(PREFACE + frame(SETTINGS, 0, 0))
        with contextlib.suppress(ConnectionError):
            for number in range(3_000):
                stream = 2 * number + 1
                writer.write(frame(HEADERS, END_HEADERS, stream, CALL) + frame(RST_STREAM, 0, stream, b"\0\0\0\x08"))
                await writer.drain()
        await still_serves(port)
        writer.close()


@pytest.mark.parametrize("said", [b"", PREFACE[:10]])
async def test_who_says_nothing_is_hung_up_on(said: bytes) -> None:
    async with serving(handshake_seconds=0.5) as (port, _):
        connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]
        for _, writer in connections:
            writer.write(said)
        await still_serves(port)
        assert all(await asyncio.gather(*(closed_within(reader, 5.0) for reader, _ in connections)))


async def test_who_sends_a_message_byte_by_byte_takes_nobodys_place() -> None:
    async with serving(max_concurrent_rpcs=2) as (port, channel):
        writers = []
        for _ in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(PREFACE + frame(SETTINGS, 0, 0))
            for stream in (1, 3, 5):
                writer.write(frame(HEADERS, END_HEADERS, stream, CALL))
                writer.write(frame(DATA, 0, stream, b"\0\0\0\x10\0x"))  # 1 of 4,096 bytes
            writers.append(writer)
        await asyncio.sleep(0.3)
        for _ in range(20):
            assert await channel.unary_unary(UNARY)(b"0", timeout=5.0)
        for writer in writers:
            writer.close()


async def test_what_is_not_http2_is_hung_up_on() -> None:
    async with serving() as (port, _):
        for junk in (
            b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"\0" * 100_000,
        ):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(junk)
            assert await closed_within(reader, 5.0)
            writer.close()
        await still_serves(port)
