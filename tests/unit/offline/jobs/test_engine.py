"""Jobs from the queue to their end, on the real DBOS over SQLite and PostgreSQL."""

from __future__ import annotations

import time

import pyarrow.parquet as pq
import pytest

from offline.jobs.desk import JobDesk, parse_options
from offline.jobs.engine import Engine, WorkerTakenError
from offline.jobs.folder import JobFolder
from offline.jobs.job import JobInputError
from offline.jobs.settings import JobSettings
from tests.unit.offline.jobs.counting import COUNTING, CountingOptions

JOBS = {"counting": COUNTING}


@pytest.fixture
def settings(tmp_path):
    return JobSettings(home=tmp_path / "jobs", attempts=2, retry_seconds=0.01, at_once=2)


@pytest.fixture
def desk(settings):
    with JobDesk(settings, JOBS) as desk:
        yield desk


def ended(desk, job_id, seconds=60):
    deadline = time.monotonic() + seconds
    while (status := desk.show(job_id)[0]).state in ("waiting", "running"):
        assert time.monotonic() < deadline, desk.show(job_id)
        time.sleep(0.02)
    return status


def total(settings, job_id):
    (part,) = JobFolder(settings.home / job_id).parts("sum")
    return pq.ParquetFile(part).read()["sum"].to_pylist()


def test_a_job_is_done_stage_by_stage(desk, settings):
    job_id = desk.submit("counting", CountingOptions(numbers=6))
    assert desk.show(job_id)[0].state == "waiting"
    with Engine(settings, JOBS):
        assert ended(desk, job_id).state == "done"
    assert total(settings, job_id) == [55]
    _, stages = desk.show(job_id)
    assert [(stage.stage, stage.tasks, stage.done, stage.rows) for stage in stages] == [
        ("numbers", 1, 1, 6),
        ("squares", 6, 6, 6),
        ("roots", 6, 6, 6),
        ("sum", 1, 1, 1),
    ]
    assert [status.job_id for status in desk.all()] == [job_id]


@pytest.mark.parametrize(("stage", "squares"), [("squares", 4), ("roots", 5)])
def test_a_task_that_keeps_failing_is_on_the_dead_list_until_it_is_tried_again(
    desk, settings, tmp_path, stage, squares
):
    mended = tmp_path / "mended"
    job_id = desk.submit("counting", CountingOptions(fails=2, fails_in=stage, mended=mended))
    with Engine(settings, JOBS):
        assert ended(desk, job_id).state == "incomplete"
        (dead,) = desk.dead(job_id)
        assert (dead.stage, dead.task, dead.error, dead.attempts) == (stage, 2, "OSError: the disk is full", 2)
        # The other tasks went on, through the stages that follow, too.
        assert [each.done for each in desk.show(job_id)[1]] == [1, squares, 4, 0]
        done = {path: path.stat().st_mtime_ns for path in JobFolder(settings.home / job_id).parts("squares")}
        mended.touch()
        desk.resume(job_id)
        status = ended(desk, job_id)
    assert (status.state, status.attempt) == ("done", 2)
    assert desk.dead(job_id) == []
    assert total(settings, job_id) == [30]
    assert all(path.stat().st_mtime_ns == written for path, written in done.items()), "done tasks were done again"


def test_wrong_input_is_not_tried_again(desk, settings):
    job_id = desk.submit("counting", CountingOptions(refuses=True))
    with Engine(settings, JOBS):
        assert ended(desk, job_id).state == "incomplete"
    (dead,) = desk.dead(job_id)
    assert (dead.error, dead.attempts) == ("there is nothing to count; expected numbers", 1)


def test_a_cancelled_job_ends_and_goes_on_when_it_is_resumed(desk, settings):
    slow = settings.model_copy(update={"tasks_per_second": 1.0})
    job_id = desk.submit("counting", CountingOptions(numbers=40))
    with Engine(slow, JOBS):
        while desk.show(job_id)[1][1].done < 1:
            time.sleep(0.02)
        desk.cancel(job_id)
        assert ended(desk, job_id).state == "cancelled"
        done = desk.show(job_id)[1][1].done
        assert done < 40
        time.sleep(0.5)
        assert desk.show(job_id)[1][1].done <= done + slow.at_once, "its tasks went on"
    with Engine(settings, JOBS):
        desk.resume(job_id)
        assert ended(desk, job_id).state == "done"
    assert total(settings, job_id) == [sum(number**2 for number in range(40))]


def test_a_job_that_is_done_stays_done(desk, settings):
    job_id = desk.submit("counting", CountingOptions())
    with Engine(settings, JOBS):
        ended(desk, job_id)
        desk.resume(job_id)
        desk.cancel(job_id)
        assert (desk.show(job_id)[0].state, desk.show(job_id)[0].attempt) == ("done", 1)


def test_tasks_start_no_faster_than_allowed(desk, settings):
    job_id = desk.submit("counting", CountingOptions(numbers=30))
    with Engine(settings.model_copy(update={"tasks_per_second": 0.5}), JOBS):
        time.sleep(3)
        numbers, squares, _, _ = desk.show(job_id)[1]
        assert numbers.done + squares.done <= 5  # of five in ten seconds; the roots follow in the squares' tasks


def test_a_second_worker_of_the_same_name_is_refused(settings):
    with Engine(settings, JOBS), pytest.raises(WorkerTakenError, match="JOBS_WORKER"):
        Engine(settings, JOBS).__enter__()


@pytest.mark.parametrize(
    ("job_id", "problem"), [("a/b", "is no job id"), ("-x", "is no job id"), ("taken", "exists; `resume`")]
)
def test_ids_that_cannot_be_are_told(desk, job_id, problem):
    desk.submit("counting", CountingOptions(), "taken")
    with pytest.raises(JobInputError, match=problem):
        desk.submit("counting", CountingOptions(), job_id)


def test_an_unknown_job_is_told_with_those_that_there_are(desk):
    desk.submit("counting", CountingOptions(), "mine")
    for ask in (desk.show, desk.dead, desk.cancel, desk.resume):
        with pytest.raises(JobInputError, match="no job 'other'; known: mine"):
            ask("other")


def test_wrong_options_are_named():
    with pytest.raises(JobInputError, match=r"numbers: .*integer.*; nmbers: .*; it has: numbers, fails"):
        parse_options(COUNTING, {"numbers": "x", "nmbers": 3})


@pytest.mark.slow
def test_many_workers_share_a_job_on_postgresql(tmp_path, postgresql_url, start_worker):
    settings = JobSettings(home=tmp_path / "jobs", database_url=postgresql_url, at_once=1)
    with JobDesk(settings, JOBS) as desk:
        job_id = desk.submit("counting", CountingOptions(numbers=30))
        one, two = (settings.model_copy(update={"worker": name}) for name in ("one", "two"))
        with start_worker(one), start_worker(two):
            assert ended(desk, job_id).state == "done"
        assert total(settings, job_id) == [sum(number**2 for number in range(30))]
        tasks = desk._client.list_workflows(name="task")
        assert {task.executor_id for task in tasks} == {"one", "two"}
