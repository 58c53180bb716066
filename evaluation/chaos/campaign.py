"""Faults one after the other while scans and writes go on, and what each of them cost."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import cycle

from evaluation.chaos.faults import Fault
from evaluation.chaos.scanning import Scan, Scanner
from evaluation.chaos.site import Site
from evaluation.chaos.writing import Write, Writer
from evaluation.stocked import photos
from shiwu.chassis.channel import connect

_PHOTOS = 24
_QUIET = 2.0  # seconds of whole scans and acknowledged writes after which a fault is over
_RECOVERY_SECONDS = 90.0  # at most waited for that


@dataclass(frozen=True)
class Outcome:
    """What happened from a fault's begin until the next one's. Times are those of `time.monotonic`."""

    fault: str
    begun: float
    repaired: float
    """When its repair began: a killed process is started again from then on."""
    scans: Sequence[Scan]
    writes: Sequence[Write]
    stuck: bool = False
    """Whether the mesh did not recover in time; nothing is tried after that."""

    def share(self, *verdicts: str) -> float:
        """Of the scans."""
        return sum(scan.verdict in verdicts for scan in self.scans) / max(1, len(self.scans))

    @property
    def refused_writes(self) -> float:
        """Share of the writes that were not acknowledged."""
        return sum(bool(write.detail) for write in self.writes) / max(1, len(self.writes))

    def reasons(self) -> list[tuple[str, int]]:
        """Why scans and writes were not well, and how often; the most frequent first."""
        why = Counter(f"{scan.verdict}: {scan.detail}" for scan in self.scans if scan.verdict != "whole")
        why.update(f"refused: {write.detail}" for write in self.writes if write.detail)
        return why.most_common()

    @property
    def recovery(self) -> float:
        """Seconds from the repair's begin until the last scan or write that was not well was over; inf: never."""
        if self.stuck:
            return float("inf")
        bad = [scan.ended for scan in self.scans if scan.verdict != "whole"]
        bad += [write.begun + write.seconds for write in self.writes if write.detail]
        return max(0.0, max(bad, default=0.0) - self.repaired)


@dataclass
class Report:
    """A whole campaign."""

    begun: float
    photos: int = 0
    """That are scanned."""
    matched: int = 0
    """Of which the product is found, undisturbed; of the others it is "not in the catalogue"."""
    outcomes: list[Outcome] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Faults that this machine or site does not allow."""
    lost: list[str] = field(default_factory=list)
    """Writes that were acknowledged and are not there."""
    changed: list[Scan] = field(default_factory=list)
    """Scans that are not answered as before, after everything was repaired."""
    acknowledged: dict[str, int] = field(default_factory=dict)
    calm: Outcome | None = None
    """The same time without any fault."""

    @property
    def failed(self) -> bool:
        """Whether one of the promises was broken."""
        return bool(self.wrong or self.lost or self.changed or any(each.stuck for each in self.outcomes))

    @property
    def wrong(self) -> list[str]:
        """What scans got wrong, or did not answer at all."""
        every = [*self.outcomes, *([self.calm] if self.calm else [])]
        return [f"{each.fault}: {scan.detail}" for each in every for scan in each.scans if scan.verdict in _BAD]


_BAD = ("wrong", "hung")


class Campaign:
    """Runs faults on a site."""

    def __init__(
        self, site: Site, *, rate: float, hold_seconds: float, say: Callable[[str], None] = lambda _: None
    ) -> None:
        """rate: scans a second. hold_seconds: how long a fault lasts. say: hears of each fault as it begins."""
        self._site = site
        self._rate = rate
        self._hold = hold_seconds
        self._say = say

    async def run(self, faults: Sequence[Fault], *, until: float | None = None) -> Report:
        """Each fault once; then again from the first one until the time `until` of `time.monotonic`, if it is given."""
        report = Report(time.monotonic())
        possible = [fault for fault in faults if fault.possible(self._site)]
        report.skipped = [fault.name for fault in faults if fault not in possible]
        mesh = self._site.mesh
        async with AsyncExitStack() as stack:
            gateways, catalog, search = [
                await stack.enter_async_context(connect(mesh.target(name))) for name in ("gateway", "catalog", "search")
            ]
            scanner, writer = Scanner(gateways, photos(_PHOTOS), self._rate), Writer(catalog, search)
            report.matched, report.photos = await scanner.learn()
            tasks = [asyncio.create_task(scanner.run()), asyncio.create_task(writer.run())]
            try:
                report.calm = await self._calm(scanner, writer)
                for number, fault in enumerate(cycle(possible)):
                    if number >= len(possible) and (until is None or time.monotonic() > until):
                        break
                    report.outcomes.append(await self._outcome(fault, scanner, writer))
                    if report.outcomes[-1].stuck:
                        break
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            report.changed = await scanner.check()
            report.lost = await writer.lost()
            report.acknowledged = writer.acknowledged()
        return report

    async def _calm(self, scanner: Scanner, writer: Writer) -> Outcome:
        begun, scans, writes = time.monotonic(), len(scanner.scans), len(writer.writes)
        await asyncio.sleep(self._hold + _QUIET)
        return Outcome("none", begun, time.monotonic(), scanner.scans[scans:], writer.writes[writes:])

    async def _outcome(self, fault: Fault, scanner: Scanner, writer: Writer) -> Outcome:
        self._say(fault.name)
        begun, scans, writes = time.monotonic(), len(scanner.scans), len(writer.writes)
        injected = fault.inject(self._site)
        await asyncio.to_thread(injected.__enter__)
        try:
            await asyncio.sleep(self._hold)
        finally:
            repaired = time.monotonic()
            await asyncio.to_thread(injected.__exit__, None, None, None)
        stuck = False
        while not stuck and not _quiet(scanner, writer, repaired):
            await asyncio.sleep(0.1)
            stuck = time.monotonic() > repaired + _RECOVERY_SECONDS
        return Outcome(fault.name, begun, repaired, scanner.scans[scans:], writer.writes[writes:], stuck)


def _quiet(scanner: Scanner, writer: Writer, repaired: float) -> bool:
    """Whether all has been well for a while, and nothing is left of before."""
    since = time.monotonic() - _QUIET
    if since < repaired or min(scanner.under_way, default=since) < since:
        return False
    scans = [scan for scan in scanner.scans[-200:] if scan.ended > since]
    writes = [write for write in writer.writes[-200:] if write.begun + write.seconds > since]
    well = all(scan.verdict == "whole" for scan in scans) and not any(write.detail for write in writes)
    return bool(scans and writes) and well
