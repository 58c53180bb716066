"""A small real job: numbers are listed, squared part by part, and summed."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from offline.jobs.job import Job, JobInputError, JobOptions, Stage, per_part_of


class CountingOptions(JobOptions):
    numbers: int = 5
    fails: int = -1
    """The task of `squares` that fails until `mended` exists."""
    mended: Path = Path("/nowhere")
    refuses: bool = False


def listed(work, _):
    if work.options.refuses:
        msg = "there is nothing to count; expected numbers"
        raise JobInputError(msg)
    for number in range(work.options.numbers):
        yield pa.table({"number": [number]})


def squared(work, task):
    if task == work.options.fails and not work.options.mended.exists():
        msg = "the disk is full"
        raise OSError(msg)
    yield pa.table({"square": [number**2 for number in work.part("numbers", task)["number"].to_pylist()]})


def summed(work, _):
    yield pa.table({"sum": [sum(work.whole("squares")["square"].to_pylist())]})


COUNTING = Job(
    "counting",
    CountingOptions,
    (Stage("numbers", listed), Stage("squares", squared, per_part_of("numbers")), Stage("sum", summed)),
)
