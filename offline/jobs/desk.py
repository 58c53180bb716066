"""What people do with jobs: ask for one, look at them, stop one, go on with one. Needs no worker to run."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, Literal, Self

from dbos import DBOSClient, WorkflowStatus, run_dbos_database_migrations
from pydantic import ValidationError

from offline.jobs.engine import APPLICATION, JOB_QUEUE, JOB_WORKFLOW, TASK_QUEUE, attempt_id
from offline.jobs.folder import Dead, JobFolder, Progress
from offline.jobs.job import Job, JobInputError, JobOptions
from offline.jobs.settings import JobSettings

State = Literal["waiting", "running", "done", "incomplete", "cancelled", "failed"]
"""incomplete: tasks are on the dead list. failed: a bug in the job itself."""
_STATES: Final[Mapping[str, State]] = {
    "ENQUEUED": "waiting",
    "DELAYED": "waiting",
    "PENDING": "running",
    "CANCELLED": "cancelled",
}


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job as people see it."""

    job_id: str
    name: str
    state: State
    attempt: int
    worker: str
    """That has it, or had it last."""
    created: datetime
    updated: datetime
    error: str
    """Of a failed job."""


class JobDesk:
    """Use as a context manager."""

    def __init__(self, settings: JobSettings, jobs: Mapping[str, Job[Any]]) -> None:
        self._settings = settings
        self._jobs = jobs
        settings.home.mkdir(parents=True, exist_ok=True)
        run_dbos_database_migrations(system_database_url=settings.database)
        self._client = DBOSClient(system_database_url=settings.database, application_name=APPLICATION)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.destroy()

    def submit(self, name: str, options: JobOptions, job_id: str = "") -> str:
        """Puts a job into the queue; returns its id. Raises JobInputError if the id is taken or no id."""
        job_id = job_id or f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,99}", job_id):
            msg = f"{job_id!r} is no job id; expected up to 100 letters, digits, '-', '_' and '.'"
            raise JobInputError(msg)
        try:
            self._folder(job_id).create(name, options.model_dump(mode="json"))
        except FileExistsError as error:
            msg = f"job {job_id!r} exists; `resume` goes on with it"
            raise JobInputError(msg) from error
        self._enqueue(job_id, 1)
        return job_id

    def all(self) -> list[JobStatus]:
        """All jobs, the youngest first."""
        latest: dict[str, tuple[int, WorkflowStatus]] = {}
        attempts: dict[str, int] = {}
        for status in self._client.list_workflows(name=JOB_WORKFLOW, sort_desc=True):
            job_id, attempt = _of(status.workflow_id)
            attempts[job_id] = max(attempt, attempts.get(job_id, 0))
            if attempt == attempts[job_id]:
                latest[job_id] = attempt, status
        return [self._status(job_id, *latest[job_id]) for job_id in latest if self._folder(job_id).exists()]

    def show(self, job_id: str) -> tuple[JobStatus, list[Progress]]:
        """A job, and how far its stages are. Raises JobInputError."""
        attempt, status = self._latest(job_id)
        job = self._jobs[self._folder(job_id).asked()[0]]
        progress = self._folder(job_id).progress([stage.name for stage in job.stages])
        return self._status(job_id, attempt, status), progress

    def dead(self, job_id: str) -> list[Dead]:
        """The job's dead list. Raises JobInputError."""
        self._latest(job_id)
        return self._folder(job_id).dead()

    def cancel(self, job_id: str) -> None:
        """Stops a job; tasks under way end first. One that has ended stays as it is. Raises JobInputError."""
        attempt, _ = self._latest(job_id)
        self._client.cancel_workflow(attempt_id(job_id, attempt), cancel_children=True)

    def resume(self, job_id: str) -> None:
        """Goes on with a job that was cancelled, has dead tasks, has failed, or whose worker is gone for good.

        A job that is done, or still waits, is left alone. Tasks that are done are not done again. Raises JobInputError.
        """
        attempt, status = self._latest(job_id)
        match self._status(job_id, attempt, status).state:
            case "cancelled" | "incomplete" | "failed":
                self._enqueue(job_id, attempt + 1)
            case "running":
                name = attempt_id(job_id, attempt)
                tasks = self._client.list_workflows(workflow_id_prefix=f"{name}/", status="PENDING", load_input=False)
                self._client.resume_workflows([task.workflow_id for task in tasks], queue_name=TASK_QUEUE)
                self._client.resume_workflow(name, queue_name=JOB_QUEUE)
            case "done" | "waiting":
                pass

    def _enqueue(self, job_id: str, attempt: int) -> None:
        self._client.enqueue(
            {"workflow_name": JOB_WORKFLOW, "queue_name": JOB_QUEUE, "workflow_id": attempt_id(job_id, attempt)},
            job_id,
            attempt,
        )

    def _latest(self, job_id: str) -> tuple[int, WorkflowStatus]:
        found = self._client.list_workflows(name=JOB_WORKFLOW, workflow_id_prefix=f"{job_id}/")
        if not found or not self._folder(job_id).exists():
            known = ", ".join(status.job_id for status in self.all()[:5]) or "none"
            msg = f"there is no job {job_id!r}; known: {known}"
            raise JobInputError(msg)
        return max(((_of(status.workflow_id)[1], status) for status in found), key=lambda each: each[0])

    def _status(self, job_id: str, attempt: int, status: WorkflowStatus) -> JobStatus:
        if status.status == "SUCCESS":
            state: State = "done" if status.output == "done" else "incomplete"
        else:
            state = _STATES.get(status.status, "failed")
        return JobStatus(
            job_id,
            self._folder(job_id).asked()[0],
            state,
            attempt,
            status.executor_id or "",
            _moment(status.created_at),
            _moment(status.updated_at),
            str(status.error) if status.error else "",
        )

    def _folder(self, job_id: str) -> JobFolder:
        return JobFolder(self._settings.home / job_id)


def parse_options(job: Job[Any], values: Mapping[str, Any]) -> JobOptions:
    """The job's options. Raises JobInputError, which names every field that is wrong."""
    try:
        options: JobOptions = job.options.model_validate(values)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, each['loc'])) or 'options'}: {each['msg']}" for each in error.errors()]
        known = ", ".join(job.options.model_fields)
        msg = f"options of {job.name} are wrong: {'; '.join(wrong)}; it has: {known}"
        raise JobInputError(msg) from error
    return options


def _of(workflow_id: str) -> tuple[str, int]:
    job_id, _, attempt = workflow_id.rpartition("/")
    return job_id, int(attempt)


def _moment(milliseconds: int | None) -> datetime:
    return datetime.fromtimestamp((milliseconds or 0) / 1000, UTC)
