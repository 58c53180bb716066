"""The last stage of a job that proposes: its proposals go into the queue that people decide from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import pyarrow as pa

from offline.jobs.job import Stage, Work
from offline.review.proposals import PROPOSALS, read_proposals
from offline.review.queue import ReviewQueue


def _ask(work: Work[Any], _: int) -> Iterable[pa.Table]:
    with ReviewQueue(work.settings.review) as queue:
        for part in work.parts(PROPOSALS):
            queue.add(read_proposals(part), source=work.job_id)
    return ()


ASKING: Final[Stage[Any]] = Stage("questions", _ask)
