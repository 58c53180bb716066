"""Clients learn of servers that were added: names are looked up again when connections of age end."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import grpc

from shiwu.chassis.channel import connect
from shiwu.chassis.server import running
from shiwu.chassis.settings import ServerSettings
from tests.unit.chassis.echo_service import NAME
from tests.unit.chassis.test_errors import adding


class Dns(asyncio.DatagramProtocol):
    """A name server that answers every question for addresses with its own list, as that of a headless Service."""

    def __init__(self) -> None:
        self.addresses = ["127.0.0.1"]

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, query: bytes, peer: Any) -> None:
        end = query.index(b"\0", 12) + 5
        (kind,) = struct.unpack("!H", query[end - 4 : end - 2])
        answers = [socket.inet_aton(each) for each in self.addresses] if kind == 1 else []  # A; none for AAAA
        header = query[:2] + struct.pack("!HHHHH", 0x8180, 1, len(answers), 0, 0)
        records = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 1, 4) + each for each in answers)
        self._transport.sendto(header + query[12:end] + records, peer)


async def test_a_server_that_was_added_gets_calls_without_one_being_lost() -> None:
    def answering(word: bytes) -> Any:
        async def answer(_request: bytes, _context: grpc.aio.ServicerContext) -> bytes:
            return word

        return adding(grpc.unary_unary_rpc_method_handler, answer)

    transport, dns = await asyncio.get_running_loop().create_datagram_endpoint(Dns, local_addr=("127.0.0.1", 0))
    first = ServerSettings(port=0, max_connection_age_seconds=0.5)
    async with running(NAME, answering(b"first"), first) as port:
        added = ServerSettings(host="127.0.0.2", port=port, max_connection_age_seconds=0.5)
        async with (
            running(NAME, answering(b"added"), added),
            connect(f"dns://127.0.0.1:{dns.port}/pods.test:{port}") as channel,
        ):
            call = channel.unary_unary(f"/{NAME}/Method")
            assert await call(b"") == b"first"
            dns.addresses.append("127.0.0.2")
            answers: set[bytes] = set()
            async with asyncio.timeout(10):
                while b"added" not in answers:
                    answers.add(await call(b""))
                    await asyncio.sleep(0.02)
    transport.close()
