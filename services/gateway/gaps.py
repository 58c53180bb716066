"""Keeping scans that found nothing, or the wrong thing, for the coverage loop; beside the scans, never in their way."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Literal, Self

import simplejpeg
import structlog

from services.gateway.ports import Catalog, Gap
from shiwu.chassis.errors import ServiceError
from shiwu.vision.resize import Image, shrunk

_log = structlog.get_logger(__name__)

_JPEG_QUALITY = 85
_CROP_SIDE = 320
"""The catalogue keeps crops of at most so many pixels a side; an embedder may make use of more."""


@dataclass(frozen=True, slots=True)
class Recent:
    """Answered scans are remembered, so that those that their users call wrong become gaps."""

    scans: int = 256
    """At most so many; each takes the crop's pixels, if crops are kept, and the vector."""
    seconds: float = 900.0
    """So long."""


class GapRecorder:
    """A bounded queue to the catalogue. Use as an async context manager: leaving it empties the queue first."""

    def __init__(
        self, catalog: Catalog[Any], *, waiting: int, seconds: float, keep_crops: bool, recent: Recent | None = None
    ) -> None:
        """waiting: gaps that may wait; more are dropped. seconds: for one, and for the rest at the end.

        keep_crops: whether pixels outlive their scan, or leave the process, at all.
        """
        self._catalog = catalog
        self._recent = recent or Recent()
        self._answered: OrderedDict[str, tuple[float, Gap, Image | None] | None] = OrderedDict()
        """By scan, the latest last: when it was answered, and the gap that it would be; None: it is one already."""
        self._queue: asyncio.Queue[tuple[Gap, Image | None]] = asyncio.Queue(waiting)
        self._seconds = seconds
        self._keep_crops = keep_crops
        self._worker: asyncio.Task[None] | None = None
        self.outcomes: Counter[Literal["kept", "dropped", "forgotten"]] = Counter()
        """Gaps so far; forgotten: of scans that were called wrong when they were not remembered here any more."""

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
        self._remember(gap.scan_id, None)
        self._put(gap, crop if self._keep_crops else None)

    def answered(self, gap: Gap, crop: Image) -> None:
        """Remembers the gap that a scan would be if its answer was wrong."""
        self._remember(gap.scan_id, (time.monotonic(), gap, crop if self._keep_crops else None))

    def refused(self, scan_id: str) -> None:
        """Queues the gap of a scan whose answer was wrong, if it is still remembered, and is none yet."""
        if scan_id in self._answered and self._answered[scan_id] is None:
            return
        answered = self._answered.get(scan_id)
        if answered is None or time.monotonic() - answered[0] > self._recent.seconds:
            self.outcomes["forgotten"] += 1
            _log.info("no gap of a wrong answer: not given here, or too long ago", scan_id=scan_id)
            return
        self._answered[scan_id] = None
        self._put(*answered[1:])

    def _remember(self, scan_id: str, answered: tuple[float, Gap, Image | None] | None) -> None:
        self._answered[scan_id] = answered
        while len(self._answered) > self._recent.scans:
            self._answered.popitem(last=False)

    def _put(self, gap: Gap, crop: Image | None) -> None:
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

    async def _record(self, gap: Gap, crop: Image | None) -> None:
        if crop is not None:
            gap = replace(gap, crop=await asyncio.to_thread(_jpeg, crop))
        await self._catalog.record_gap(gap, seconds=self._seconds)


def _jpeg(image: Image) -> bytes:
    kept = shrunk(image, _CROP_SIDE)
    return bytes(simplejpeg.encode_jpeg(kept, quality=_JPEG_QUALITY))
