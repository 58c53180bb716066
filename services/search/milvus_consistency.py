"""When Milvus answers with what: a write is acknowledged only when every later search finds it."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from pymilvus import mkts_from_unixtime

LATEST: Final = {"consistency_level": "Strong"}
"""For queries. Rows that Milvus acknowledged become visible with the next time tick, 0.2 s; they wait for it."""
_NEARLY_AT_ONCE: Final = {"consistency_level": "Bounded"}
_BEHIND_SECONDS = 0.5


def in_order(*, lite: bool) -> dict[str, Any]:
    """For limited queries: they return the first keys of all segments, not any. What pymilvus' iterators ask for.

    Milvus Lite needs the other half of it, too, with which the client would forget the level for a server.
    """
    return {"reduce_stop_for_best": "True"} | ({"iterator": "True"} if lite else {})


def of_searches(replicas: int) -> dict[str, Any]:
    """For searches.

    With one replica they hardly wait: what was acknowledged by us has been waited for. But a server that was killed
    answers before it has read its log again: "Bounded" makes it wait until it is at most seconds behind, where
    "Eventually" finds nothing and says so without an error.

    Another replica may be behind the one that a write was seen in. So searches of several wait for what is older than
    half a second, which replicas nearly always have, and writes are acknowledged when they are older (`reach`). The
    clocks of this machine and of Milvus must agree better than that, as NTP sees to.
    """
    if replicas == 1:
        return _NEARLY_AT_ONCE
    written = mkts_from_unixtime(time.time() - _BEHIND_SECONDS)
    return {"consistency_level": "Customized", "guarantee_timestamp": written}


async def reach(replicas: int) -> None:
    """Returns when what was just written is found in every replica by every search that begins from now on."""
    if replicas > 1:
        await asyncio.sleep(_BEHIND_SECONDS)
