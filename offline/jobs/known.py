"""The jobs that there are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from offline.cleaning.dedup_job import DEDUP
from offline.cleaning.denoise_job import DENOISE
from offline.cleaning.merge_job import MERGE
from offline.indexing.bulk_job import INDEX
from offline.jobs.job import Job

JOBS: Final[Mapping[str, Job[Any]]] = {job.name: job for job in (DEDUP, DENOISE, MERGE, INDEX)}
