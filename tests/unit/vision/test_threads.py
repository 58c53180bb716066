"""Services that do small sums take one thread for each."""

from __future__ import annotations

import subprocess
import sys

_SHOWN = """
import cv2, numpy, threadpoolctl
from shiwu.vision.threads import use_one_thread
use_one_thread()
pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
assert pools
print(cv2.getNumThreads(), *pools)
"""


def test_opencv_and_blas_take_one_thread_from_then_on() -> None:
    """In a process of its own, since it is for the whole life of one."""
    shown = subprocess.run([sys.executable, "-c", _SHOWN], capture_output=True, text=True, check=True, timeout=60)
    assert set(shown.stdout.split()) == {"1"}, shown.stdout
