from __future__ import annotations

import asyncio

from shiwu.chassis.errors import UnavailableError
from shiwu.chassis.repeating import repeating


async def test_work_is_repeated_whatever_it_raises_and_ends_with_the_block() -> None:
    outcomes = [None, UnavailableError("down"), KeyError("a bug"), None]
    done = 0

    async def work() -> None:
        nonlocal done
        done += 1
        if done <= len(outcomes) and (error := outcomes[done - 1]):
            raise error

    async with repeating(work, 0.005, "a test"), asyncio.timeout(5):
        while done < 6:  # noqa: ASYNC110  (it is counted by a task)
            await asyncio.sleep(0.001)
    ended = done
    await asyncio.sleep(0.03)
    assert done == ended
