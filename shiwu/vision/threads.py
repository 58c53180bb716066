"""How many threads pictures and matrices take."""

from __future__ import annotations

import cv2
from threadpoolctl import threadpool_limits


def use_one_thread() -> None:
    """For OpenCV and BLAS in this process, from now on.

    For services that do small sums for many at once: helpers cost more than they help, 30 ms instead of 0.4 for a
    re-ranking on busy cores, and the requests share the cores anyway.
    """
    cv2.setNumThreads(1)
    threadpool_limits(limits=1, user_api="blas")
