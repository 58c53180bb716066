"""Works on jobs: DBOS workflows over a queue in SQLite or PostgreSQL.

A job is one workflow, each of its tasks another. DBOS remembers which of them were asked for and which have ended, and
starts again those that a dead worker left. What a task has made is in the job's folder, whose ledger decides what is
left to do; so a task may be worked on twice, and nothing is lost or doubled.

A workflow that has ended stays so. To go on with a job that was cancelled, or that has tasks on the dead list, is
therefore a new attempt: a workflow of its own, which does only what the ledger does not have.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from dbos import DBOS, DBOSConfig, SetWorkflowID, WorkflowHandle
from dbos import error as dbos_errors

from offline.jobs.folder import Dead, JobFolder
from offline.jobs.job import Job, JobInputError, Stage
from offline.jobs.settings import JobSettings

APPLICATION: Final = "shiwu-jobs"
VERSION: Final = "2"
"""Jobs that wait are not taken up by workers of another version: raise it when they work on old jobs in another way."""
JOB_WORKFLOW: Final = "job"
TASK_WORKFLOW: Final = "task"
JOB_QUEUE: Final = "jobs"
TASK_QUEUE: Final = "tasks"
_JOBS_AT_ONCE: Final = 8
_POLL: Final = 0.3  # seconds; each time costs milliseconds of work, in every worker
_WAVE: Final = 500
"""Tasks of a job that are in the queue at a time, so that a job of millions does not fill the database."""
_RECOVERIES: Final = 5
"""How often a task may take its worker down with it before it is given up."""

# DBOS gives a logger without handlers one that holds on to the stderr of the moment.
logging.getLogger("dbos").addHandler(logging.NullHandler())


class WorkerTakenError(Exception):
    """A worker of this name is at work already."""


class Engine:
    """Takes jobs and tasks from the queue and works on them while it is open. One a process."""

    def __init__(self, settings: JobSettings, jobs: Mapping[str, Job[Any]]) -> None:
        self._settings = settings
        self._jobs = jobs
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Raises WorkerTakenError."""
        self._settings.home.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self._settings.home / f".{self._settings.worker}.lock", self._settings.worker)
        DBOS(
            config=DBOSConfig(
                name=APPLICATION,
                system_database_url=self._settings.database,
                application_version=VERSION,
                executor_id=self._settings.worker,
                log_level="CRITICAL",  # what went wrong is on the dead list
                use_listen_notify=False,
                notification_listener_polling_interval_sec=_POLL,
            )
        )
        self._run_job = DBOS.workflow(name=JOB_WORKFLOW, max_recovery_attempts=None)(self._job_workflow())
        self._run_task = DBOS.workflow(name=TASK_WORKFLOW, max_recovery_attempts=_RECOVERIES)(self._task_workflow())
        DBOS.launch()
        DBOS.register_queue(JOB_QUEUE, worker_concurrency=_JOBS_AT_ONCE, polling_interval_sec=_POLL)
        DBOS.register_queue(
            TASK_QUEUE,
            worker_concurrency=self._settings.at_once,
            limiter=_limit(self._settings.tasks_per_second),
            polling_interval_sec=_POLL,
            on_conflict="always_update",
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The registry goes, too: it holds this engine's workflows.
        DBOS.destroy(destroy_registry=True)
        if self._lock is not None:
            self._lock.close()

    def start(self, job_id: str, attempt: int = 1) -> None:
        """Puts a job whose folder exists into the queue; an attempt that is there already is left alone."""
        with SetWorkflowID(attempt_id(job_id, attempt)):
            DBOS.enqueue_workflow(JOB_QUEUE, self._run_job, job_id, attempt)

    # Functions, not methods, are what DBOS can register; what they need of the engine is bound here.

    def _job_workflow(self) -> Callable[[str, int], str]:
        def run_job(job_id: str, attempt: int) -> str:
            return self._do_job(job_id, attempt)

        return run_job

    def _task_workflow(self) -> Callable[[str, str, int], None]:
        def run_task(job_id: str, stage: str, task: int) -> None:
            settings = self._settings
            for each in self._open(job_id)[1].chain(stage):
                DBOS.run_step(
                    {
                        "name": TASK_WORKFLOW,
                        "retries_allowed": settings.attempts > 1,
                        "max_attempts": settings.attempts,
                        "interval_seconds": settings.retry_seconds,
                        "should_retry": lambda error: not isinstance(error, JobInputError),
                    },
                    self._do_task,
                    job_id,
                    each.name,
                    task,
                )

        return run_task

    def _do_job(self, job_id: str, attempt: int) -> str:
        """Chain after chain of stages; one with dead tasks is the last. Returns the state that the job ends in."""
        folder, job = self._open(job_id)
        for chain in job.chains():
            # A step: when the job is taken up again it must ask for the same tasks in the same order.
            todo = DBOS.run_step({"name": "plan"}, self._plan, job_id, chain[0].name)
            tasks = iter(todo)
            dead = 0
            while wave := list(islice(tasks, _WAVE)):
                handles = [self._enqueue(job_id, attempt, chain[0].name, task) for task in wave]
                dead += sum(self._lost(folder, chain, *each) for each in zip(wave, handles, strict=True))
            if dead:
                return "incomplete"
        folder.sweep()
        return "done"

    def _plan(self, job_id: str, stage: str) -> list[int]:
        """The tasks of a chain that are not done."""
        folder, job = self._open(job_id)
        chain = job.chain(stage)
        tasks = chain[0].tasks(job.work(folder, self._settings))
        for each in chain:
            folder.plan(each.name, tasks)
        return [task for task in range(tasks) if not all(folder.is_done(each.name, task) for each in chain)]

    def _enqueue(self, job_id: str, attempt: int, stage: str, task: int) -> WorkflowHandle[None]:
        with SetWorkflowID(f"{attempt_id(job_id, attempt)}/{stage}/{task}"):
            return DBOS.enqueue_workflow(TASK_QUEUE, self._run_task, job_id, stage, task)

    def _lost(self, folder: JobFolder, chain: Sequence[Stage[Any]], task: int, handle: WorkflowHandle[None]) -> bool:
        """Waits for a task; whether it had to be given up."""
        try:
            handle.get_result(polling_interval_sec=_POLL)
        except dbos_errors.DBOSAwaitedWorkflowCancelledError:
            raise
        except Exception as error:  # whatever it was, the other tasks go on
            stage = next((each.name for each in chain if not folder.is_done(each.name, task)), None)
            if stage is None:  # its worker died after the last entry of the ledger
                return False
            folder.bury(_dead(stage, task, error, self._settings.attempts))
            return True
        return False

    def _do_task(self, job_id: str, stage: str, task: int) -> None:
        folder, job = self._open(job_id)
        if not folder.is_done(stage, task):
            folder.finish(stage, task, job.stage(stage).run(job.work(folder, self._settings), task))

    def _open(self, job_id: str) -> tuple[JobFolder, Job[Any]]:
        folder = JobFolder(self._settings.home / job_id)
        return folder, self._jobs[folder.asked()[0]]


def attempt_id(job_id: str, attempt: int) -> str:
    """The workflow of an attempt at a job."""
    return f"{job_id}/{attempt}"


def _limit(per_second: float | None) -> Any:
    if per_second is None:
        return None
    limit = max(1, round(10 * per_second))  # in about ten seconds
    return {"limit": limit, "period": limit / per_second}


def _dead(stage: str, task: int, error: Exception, attempts: int) -> Dead:
    if isinstance(error, dbos_errors.DBOSMaxStepRetriesExceeded) and error.errors:
        return Dead(stage, task, _said(error.errors[-1]), attempts)
    return Dead(stage, task, _said(error), 1)


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, JobInputError) else f"{type(error).__name__}: {error}"


def _locked(path: Path, worker: str) -> IO[bytes]:
    file = path.open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        msg = f"a worker named {worker!r} is at work in {path.parent}; end it, or name this one by JOBS_WORKER"
        raise WorkerTakenError(msg) from error
    return file
