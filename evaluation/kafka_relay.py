"""Relay between Milvus' Kafka client and a Kafka-compatible broker.

The client is an old librdkafka that cannot read the tagged fields with which newer brokers end
their ApiVersions v3 reply. The relay cuts them off and passes everything else on unchanged.
"""

from __future__ import annotations

import argparse
import asyncio
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator

API_VERSIONS = 18


def without_tags(reply: bytes) -> bytes:
    """An ApiVersions v3 reply with no tagged fields at its end.

    Layout: correlation id (4), error (2), compact array of [key (2), min (2), max (2), tags],
    throttle time (4), tags.
    """
    length, position = _varint(reply, 6)
    for _ in range(length - 1):  # a compact array's length is stored plus one
        tags, position = _varint(reply, position + 6)
        if tags:
            msg = "ApiVersions reply with tagged fields inside an entry"
            raise ValueError(msg)
    return reply[: position + 4] + b"\0"


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """The unsigned varint at `position` and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


async def _frames(reader: StreamReader) -> AsyncIterator[bytes]:
    """Kafka's messages, each sent behind its length, until the peer hangs up."""
    try:
        while True:
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            yield await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return


async def _send(writer: StreamWriter, frame: bytes) -> None:
    writer.write(struct.pack(">i", len(frame)) + frame)
    await writer.drain()


async def _serve(client: StreamReader, to_client: StreamWriter, broker_port: int) -> None:
    """Relay one client's connection until either side closes it."""
    awaited: set[int] = set()  # correlation ids of ApiVersions v3 requests under way

    async def requests() -> None:
        async for frame in _frames(client):
            api, version, correlation = struct.unpack_from(">hhi", frame)
            if api == API_VERSIONS and version >= 3:
                awaited.add(correlation)
            await _send(to_broker, frame)

    async def replies() -> None:
        async for frame in _frames(broker):
            (correlation,) = struct.unpack_from(">i", frame)
            tagged = correlation in awaited
            awaited.discard(correlation)
            await _send(to_client, without_tags(frame) if tagged else frame)

    try:
        broker, to_broker = await asyncio.open_connection("127.0.0.1", broker_port)
    except ConnectionError:
        to_client.close()
        return
    ways = [asyncio.create_task(way) for way in (requests(), replies())]
    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    for way in ways:
        way.cancel()
    for writer in (to_client, to_broker):
        writer.close()


async def relay(port: int, broker_port: int) -> None:
    """Listen on `port` of the loopback interface, relaying to `broker_port`, until cancelled."""
    listener = await asyncio.start_server(lambda reader, writer: _serve(reader, writer, broker_port), "127.0.0.1", port)
    async with listener:
        await listener.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="where to listen")
    parser.add_argument("--broker-port", type=int, required=True, help="where the broker listens")
    args = parser.parse_args()
    asyncio.run(relay(args.port, args.broker_port))
