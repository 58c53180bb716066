"""A small real job: numbers are listed, squared part by part and rooted again, and summed."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa

from offline.jobs.job import Job, JobInputError, JobOptions, Stage, per_part_of


class CountingOptions(JobOptions):
    numbers: int = 5
    fails: int = -1
    """The task of `fails_in` that fails until `mended` exists."""
    fails_in: str = "squares"
    mended: Path = Path("/nowhere")
    refuses: bool = False


def listed(work, _):
    if work.options.refuses:
        msg = "there is nothing to count; expected numbers"
        raise JobInputError(msg)
    for number in range(work.options.numbers):
        yield pa.table({"number": [number]})


def squared(work, task):
    may_fail("squares", work.options, task)
    yield pa.table({"square": [number**2 for number in work.part("numbers", task)["number"].to_pylist()]})


def rooted(work, task):
    may_fail("roots", work.options, task)
    yield pa.table({"root": [math.isqrt(square) for square in work.made("squares", task)["square"].to_pylist()]})


def may_fail(stage, options, task):
    if (stage, task) == (options.fails_in, options.fails) and not options.mended.exists():
        msg = "the disk is full"
        raise OSError(msg)


def summed(work, _):
    assert [root**2 for root in work.whole("roots")["root"].to_pylist()] == work.whole("squares")["square"].to_pylist()
    yield pa.table({"sum": [sum(work.whole("squares")["square"].to_pylist())]})


COUNTING = Job(
    "counting",
    CountingOptions,
    (
        Stage("numbers", listed),
        Stage("squares", squared, per_part_of("numbers")),
        Stage("roots", rooted, follows=True),
        Stage("sum", summed),
    ),
)
