"""What cancelled calls leave in the memory of the process that made them, against calls that are abandoned.

python -m tests.unit.chassis.cancelled_calls

Each is a process of its own: a server whose answers of 20 KB take a millisecond, and 16 callers at once that give up
after 0 to 4 ms. Prints MiB of growth after the first 2,400 calls.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import grpc

from shiwu.chassis.abandoning import abandon

_ROUNDS, _AT_ONCE, _BATCHES = 9, 16, 150
_ANSWER = bytes(20_000)


def main() -> None:
    if len(sys.argv) > 1:
        asyncio.run(_measure(sys.argv[1]))
        return
    for way in ("abandoned", "cancelled"):
        subprocess.run([sys.executable, "-m", "tests.unit.chassis.cancelled_calls", way], check=True)


async def _measure(way: str) -> None:
    async def answer(request, context):
        await asyncio.sleep(0.001)
        return _ANSWER

    server = grpc.aio.server()
    handlers = {"Call": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    draw = random.Random(1)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/test/Call")

        async def ask():
            return await call(b"", timeout=5)

        async def give_up():
            asked = asyncio.ensure_future(ask())
            await asyncio.sleep(draw.uniform(0.0, 0.004))
            if way == "abandoned":
                abandon(asked)
            else:
                asked.cancel()
            await asyncio.wait([asked])

        grown = []
        for _ in range(_ROUNDS):
            for _ in range(_BATCHES):
                await asyncio.gather(*(give_up() for _ in range(_AT_ONCE)))
            grown.append(_resident())
    await server.stop(None)
    calls = (_ROUNDS - 1) * _BATCHES * _AT_ONCE
    print(f"{way}: {grown[-1] - grown[0]:+.1f} MiB in {calls:,} calls")


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) / 256


if __name__ == "__main__":
    main()
