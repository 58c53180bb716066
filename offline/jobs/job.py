"""What a job is: stages one after the other, each made of tasks that know nothing of each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from offline.jobs.folder import JobFolder, write_whole
from offline.jobs.settings import JobSettings


class JobOptions(BaseModel):
    """What a job is asked to do; kept in its folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class JobInputError(Exception):
    """The job's input or options are wrong; trying again would not help."""


Options = TypeVar("Options", bound=JobOptions)


class Work(Generic[Options]):
    """What a task sees: the job's options, the worker's settings, and what the stages before its own have made."""

    def __init__(self, options: Options, settings: JobSettings, folder: JobFolder) -> None:
        self.options = options
        self.settings = settings
        self.job_id = folder.path.name
        self._folder = folder

    def count(self, stage: str) -> int:
        """How many parts a stage has made."""
        return len(self._folder.parts(stage))

    def part(self, stage: str, number: int, columns: Sequence[str] | None = None) -> pa.Table:
        """One part of a stage."""
        return _read(self._folder.parts(stage)[number], columns)

    def made(self, stage: str, task: int) -> pa.Table:
        """What one task of a stage has made."""
        return pa.concat_tables([_read(path, None) for path in self._folder.made(stage, task)])

    def parts(self, stage: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The parts of a stage, one after the other."""
        for path in self._folder.parts(stage):
            yield _read(path, columns)

    def whole(self, stage: str, columns: Sequence[str] | None = None) -> pa.Table:
        """All parts of a stage in one table."""
        return pa.concat_tables(list(self.parts(stage, columns)))

    def report(self, name: str, data: bytes) -> Path:
        """Writes a file for people to look at; returns where it is."""
        path = self._folder.path / "report" / name
        write_whole(path, data)
        return path


def _read(path: Path, columns: Sequence[str] | None) -> pa.Table:
    # Not read_table: that takes the path's folders for a partitioning.
    return pq.ParquetFile(path).read(columns=None if columns is None else list(columns))


@dataclass(frozen=True, slots=True)
class Stage(Generic[Options]):
    """A step of a job."""

    name: str
    run: Callable[[Work[Options], int], Iterable[pa.Table]]
    """Does one task: its number to the parts that it makes. The same input must give the same tables."""
    tasks: Callable[[Work[Options]], int] = lambda _: 1
    """How many tasks; asked when the stages before are done."""
    follows: bool = False
    """Whether each task goes on from the one of its number in the stage before, without waiting for the others there.
    Of these two stages and of those that they follow it may see only what its own number has made."""


def per_part_of(stage: str) -> Callable[[Work[Any]], int]:
    """A task for each part of an earlier stage."""
    return lambda work: work.count(stage)


@dataclass(frozen=True, slots=True)
class Job(Generic[Options]):
    """A kind of job."""

    name: str
    options: type[Options]
    stages: Sequence[Stage[Options]]

    def work(self, folder: JobFolder, settings: JobSettings) -> Work[Options]:
        """What the tasks of the job in this folder see. Raises pydantic.ValidationError if its options do not fit."""
        return Work(self.options.model_validate(folder.asked()[1]), settings, folder)

    def stage(self, name: str) -> Stage[Options]:
        """The stage of a name. Raises KeyError."""
        return {stage.name: stage for stage in self.stages}[name]

    def chains(self) -> list[list[Stage[Options]]]:
        """The stages, each with those that follow it."""
        chains: list[list[Stage[Options]]] = []
        for stage in self.stages:
            if stage.follows:
                chains[-1].append(stage)
            else:
                chains.append([stage])
        return chains

    def chain(self, name: str) -> list[Stage[Options]]:
        """The stage of a name, and those that follow it. Raises KeyError."""
        return {chain[0].name: chain for chain in self.chains()}[name]
