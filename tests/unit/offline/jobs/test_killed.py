"""Workers that die: killed anywhere, a job goes on and ends with the same bytes."""

from __future__ import annotations

import random
import time

import cv2
import numpy as np
import pytest

from offline.cleaning.dedup_job import DedupOptions
from offline.jobs.desk import JobDesk
from offline.jobs.engine import Engine
from offline.jobs.folder import JobFolder
from offline.jobs.known import JOBS
from offline.jobs.settings import JobSettings
from tests.unit.offline.jobs.counting import COUNTING, CountingOptions

STAGES = [stage.name for stage in JOBS["dedup"].stages]


@pytest.fixture
def pictures(tmp_path):
    """Sixty pictures, every third one a smaller copy of the one before; and two that are none."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    draw = np.random.default_rng(5)
    for i in range(60):
        if i % 3 < 2:
            picture = cv2.resize(draw.integers(0, 255, (6, 6, 3), np.uint8), (240, 180), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{i:03}.jpg"), picture if i % 3 < 2 else cv2.resize(picture, (120, 90)))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    (folder / "empty.png").write_bytes(b"")
    return folder


def ended(desk, job_id, seconds=90):
    deadline = time.monotonic() + seconds
    while (state := desk.show(job_id)[0].state) in ("waiting", "running"):
        assert time.monotonic() < deadline, desk.show(job_id)
        time.sleep(0.02)
    return state


def contents(folder):
    """All that a job has made, by name; what it was asked to do apart."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "job.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_job_killed_at_ten_random_points_ends_with_the_same_bytes(tmp_path, pictures, start_worker):
    options = DedupOptions(source=pictures, partition=4)
    calm = JobSettings(home=tmp_path / "calm")
    with JobDesk(calm, JOBS) as desk, Engine(calm, JOBS):
        undisturbed = desk.submit("dedup", options)
        assert ended(desk, undisturbed) == "done"
    expected = contents(calm.home / undisturbed)

    settings = JobSettings(home=tmp_path / "killed", at_once=2)
    tasks = sum(
        name.count(".") == 1 and name.split("/")[1][:6].isdigit() and name.endswith(".json") for name in expected
    )
    points = sorted(random.Random(7).sample(range(tasks - 2), 10))
    with JobDesk(settings, JOBS) as desk:
        job_id = desk.submit("dedup", options, undisturbed)
        for point in points:
            with start_worker(settings) as worker:
                until_done(settings, job_id, point, worker)
                worker.kill()
        with start_worker(settings):
            assert ended(desk, job_id) == "done"
    assert contents(settings.home / job_id) == expected
    assert len(JobFolder(settings.home / job_id).parts("groups")) > 1


def until_done(settings, job_id, tasks, worker):
    """Waits until so many tasks are done."""
    folder = JobFolder(settings.home / job_id)
    deadline = time.monotonic() + 60
    while sum(stage.done for stage in folder.progress(STAGES)) < tasks:
        assert worker.poll() is None
        assert time.monotonic() < deadline, folder.progress(STAGES)
        time.sleep(0.005)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_a_dead_worker_had_is_done_by_another_when_the_job_is_resumed(tmp_path, postgresql_url, start_worker):
    one = JobSettings(home=tmp_path / "jobs", database_url=postgresql_url, worker="one", at_once=2, tasks_per_second=5)
    two = one.model_copy(update={"worker": "two"})
    with JobDesk(one, {COUNTING.name: COUNTING}) as desk:
        job_id = desk.submit("counting", CountingOptions(numbers=60))
        with start_worker(one) as worker:
            while desk.show(job_id)[1][1].done < 5:
                time.sleep(0.02)
            worker.kill()
        with start_worker(two):
            time.sleep(1)
            assert desk.show(job_id)[0].state == "running"  # nobody knows yet that the worker is gone for good
            desk.resume(job_id)
            assert ended(desk, job_id) == "done"
        assert desk.show(job_id)[0].worker == "two"
