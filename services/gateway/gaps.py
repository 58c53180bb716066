"""Keeping scans that found nothing, for the coverage loop; beside the scans, never in their way."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import simplejpeg
import structlog

from services.gateway.ports import Catalog, Gap
from shiwu.chassis.errors import ServiceError
from shiwu.vision.resize import Image

_log = structlog.get_logger(__name__)

_JPEG_QUALITY = 85


class GapRecorder:
    """A bounded queue to the catalogue. Use as an async context manager: leaving it empties the queue first."""

    def __init__(self, catalog: Catalog[Any], *, waiting: int, seconds: float, keep_crops: bool) -> None:
        """waiting: gaps that may wait; more are dropped. seconds: for one, and for the rest at the end.

        keep_crops: whether pixels leave the process at all.
        """
        self._catalog = catalog
        self._queue: asyncio.Queue[tuple[Gap, Image]] = asyncio.Queue(waiting)
        self._seconds = seconds
        self._keep_crops = keep_crops
        self._worker: asyncio.Task[None] | None = None
        self.outcomes: Counter[Literal["kept", "dropped"]] = Counter()
        """Gaps so far."""

    @property
    def waiting(self) -> int:
        """Gaps in the queue."""
        return self._queue.qsize()

    async def __aenter__(self) -> Self:
        self._worker = asyncio.create_task(self._work(), name="gaps")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await self._queue.join()
        except TimeoutError:
            self.outcomes["dropped"] += self.waiting
            _log.warning("gaps lost at shutdown", count=self.waiting)
        if self._worker is not None:
            self._worker.cancel()

    def offer(self, gap: Gap, crop: Image) -> None:
        """Queues a gap, without waiting. crop: what was searched for, RGB."""
        try:
            self._queue.put_nowait((gap, crop))
        except asyncio.QueueFull:
            self.outcomes["dropped"] += 1
            _log.warning("gap dropped: too many wait", scan_id=gap.scan_id)

    async def _work(self) -> None:
        while True:
            gap, crop = await self._queue.get()
            try:
                await self._record(gap, crop)
                self.outcomes["kept"] += 1
            except ServiceError as error:
                self.outcomes["dropped"] += 1
                _log.warning("gap dropped", scan_id=gap.scan_id, reason=str(error))
            except Exception:  # whatever it was, the next gaps are to be kept
                self.outcomes["dropped"] += 1
                _log.exception("gap dropped", scan_id=gap.scan_id)
            finally:
                self._queue.task_done()

    async def _record(self, gap: Gap, crop: Image) -> None:
        if self._keep_crops:
            gap = replace(gap, crop=await asyncio.to_thread(_jpeg, crop))
        await self._catalog.record_gap(gap, seconds=self._seconds)


def _jpeg(image: Image) -> bytes:
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=_JPEG_QUALITY))
