"""Offline jobs: run here or by workers, looked at, stopped, gone on with."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import typer
import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from offline.jobs.desk import JobDesk, JobStatus, parse_options
from offline.jobs.engine import Engine, WorkerTakenError
from offline.jobs.folder import Progress as StageProgress
from offline.jobs.job import JobInputError
from offline.jobs.known import JOBS
from offline.jobs.settings import JobSettings
from shiwu.cli.connection import InputError

_LOOK: Final = 0.2  # seconds
_COLOURS: Final = {"done": "green", "running": "cyan", "waiting": "cyan"}


def run(name: str, options: Path | None, settings: Sequence[str], job_id: str, *, detach: bool) -> bool:
    """Asks for a job and works on it here, or leaves it to the workers; whether it is done, or waits for them."""
    with _desk() as desk:
        if name not in JOBS:
            msg = f"there is no job {name!r}; known: {', '.join(sorted(JOBS))}"
            raise InputError(msg)
        values = {**_from_file(options), **_from_line(settings)}
        submitted = desk.submit(name, parse_options(JOBS[name], values), job_id)
        return _worked(desk, submitted, detach=detach)


def resume(job_id: str, *, detach: bool) -> bool:
    """Goes on with a job, here or by the workers; whether it is done, or waits for them."""
    with _desk() as desk:
        # Here the worker that left it is this one, and takes it up by itself; elsewhere it is given up for dead.
        if detach or desk.show(job_id)[0].state != "running":
            desk.resume(job_id)
        return _worked(desk, job_id, detach=detach)


def work() -> None:
    """Works on whatever is in the queue, until interrupted."""
    with _desk(), Engine(JobSettings(), JOBS):
        Console().print(f"worker {JobSettings().worker!r} takes jobs; Ctrl-C ends it")
        try:
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            Console().print("ending; what is under way goes on when the worker is back")


def show_all() -> None:
    """Prints the jobs."""
    with _desk() as desk:
        table = Table("job", "state", "attempt", "worker", "since")
        for status in desk.all():
            since = status.updated.astimezone().strftime("%Y-%m-%d %H:%M:%S")
            table.add_row(status.job_id, _coloured(status), str(status.attempt), status.worker, since)
        Console().print(table)


def show(job_id: str) -> None:
    """Prints a job: its options, its stages, where its results are."""
    with _desk() as desk:
        status, stages = desk.show(job_id)
        console = Console()
        console.print(f"{status.job_id}: {_coloured(status)}, attempt {status.attempt}")
        if status.error:
            console.print(status.error, style="red", markup=False)
        table = Table("stage", "tasks", "dead", "rows")
        for stage in stages:
            total = "?" if stage.tasks is None else str(stage.tasks)
            table.add_row(stage.stage, f"{stage.done} of {total}", str(stage.dead or ""), f"{stage.rows:,}")
        console.print(table)
        console.print(str(JobSettings().home / job_id), markup=False, highlight=False)


def cancel(job_id: str) -> None:
    """Stops a job."""
    with _desk() as desk:
        desk.cancel(job_id)


def dead(job_id: str) -> bool:
    """Prints a job's dead list; whether it is empty."""
    with _desk() as desk:
        found = desk.dead(job_id)
        table = Table("stage", "task", "tries", "error")
        for each in found:
            table.add_row(each.stage, str(each.task), str(each.attempts), each.error)
        Console().print(table if found else "no task is dead")
        if found:
            Console().print(f"`shiwu jobs resume {job_id}` tries them again")
        return not found


@contextmanager
def _desk() -> Iterator[JobDesk]:
    try:
        with JobDesk(JobSettings(), JOBS) as desk:
            yield desk
    except (JobInputError, WorkerTakenError) as error:
        raise InputError(str(error)) from error


def _worked(desk: JobDesk, job_id: str, *, detach: bool) -> bool:
    if detach:
        Console().print(job_id, highlight=False)
        return True
    try:
        with Engine(JobSettings(), JOBS):
            status = _followed(desk, job_id)
    except WorkerTakenError:
        status = _followed(desk, job_id)
    except KeyboardInterrupt:
        Console().print(f"stopped; `shiwu jobs resume {job_id}` goes on", highlight=False)
        raise typer.Exit(130) from None
    Console().print(f"{job_id}: {_coloured(status)}; results in {JobSettings().home / job_id}", highlight=False)
    if status.state == "incomplete":
        dead(job_id)
    return status.state == "done"


def _followed(desk: JobDesk, job_id: str) -> JobStatus:
    """Shows how far the job is until it has ended."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        shown: dict[str, Any] = {}
        while True:
            status, stages = desk.show(job_id)
            for stage in stages:
                _update(bars, shown, stage)
            if status.state not in ("waiting", "running"):
                return status
            time.sleep(_LOOK)


def _update(bars: Progress, shown: dict[str, Any], stage: StageProgress) -> None:
    if stage.tasks is None:
        return
    if stage.stage not in shown:
        shown[stage.stage] = bars.add_task(stage.stage, total=stage.tasks)
    bars.update(shown[stage.stage], completed=stage.done)


def _coloured(status: JobStatus) -> str:
    return f"[{_COLOURS.get(status.state, 'red')}]{status.state}[/]"


def _from_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        msg = f"{path} cannot be read as YAML: {error}"
        raise InputError(msg) from error
    if not isinstance(values, dict):
        msg = f"{path} holds no options; expected lines like `source: pictures/`"
        raise InputError(msg)
    return values


def _from_line(settings: Sequence[str]) -> dict[str, Any]:
    """name=value, the value as in YAML; rule.eps=0.2 sets a part of an option."""
    values: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            msg = f"{setting!r} sets nothing; expected name=value"
            raise InputError(msg)
        *path, last = name.split(".")
        inner = values
        for step in path:
            inner = inner.setdefault(step, {})
        inner[last] = yaml.safe_load(value)
    return values
