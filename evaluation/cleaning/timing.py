"""Times of several ways to do the same, taken in turns, so that what else the machine does falls on all of them.

Processor time of this process: on a shared machine the wall clock measures the others, too. Of what runs on one thread
it is what the wall clock shows on an idle machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np


def interleaved(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median seconds of each; every way runs once beforehand, unmeasured."""
    for run in ways.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, run in ways.items():
            start = time.process_time()
            run()
            times[name].append(time.process_time() - start)
    return {name: float(np.median(each)) for name, each in times.items()}
