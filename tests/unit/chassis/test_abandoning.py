"""Calls that nobody waits for."""

from __future__ import annotations

import asyncio
import gc

from shiwu.chassis.abandoning import _abandoned, abandon


async def test_an_abandoned_call_comes_to_its_end_and_is_forgotten():
    ended = []

    async def call(fails):
        await asyncio.sleep(0.01)
        ended.append(fails)
        if fails:
            msg = "nobody hears this"
            raise RuntimeError(msg)

    unheard = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
    for fails in (False, True):
        abandon(asyncio.ensure_future(call(fails)))
    assert len(_abandoned) == 2
    gc.collect()
    await asyncio.sleep(0.05)
    gc.collect()
    assert (sorted(ended), unheard, len(_abandoned)) == ([False, True], [], 0)
