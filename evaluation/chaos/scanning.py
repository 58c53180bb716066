"""Scans at a steady rate, and what to make of each answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final, Literal

import grpc

from evaluation.stocked import Photo
from shiwu.v1 import gateway_pb2 as pb
from shiwu.v1.gateway_pb2_grpc import GatewayServiceStub
from shiwu.v1.vision_pb2 import Image

Verdict = Literal["whole", "partial", "shed", "error", "wrong", "hung"]

SCAN_SECONDS: Final = 5.0
_PATIENCE: Final = 1.0  # seconds after its deadline that a scan must have ended


@dataclass(frozen=True)
class Scan:
    """One scan. begun: on the clock of `time.monotonic`."""

    begun: float
    seconds: float
    verdict: Verdict
    detail: str = ""

    @property
    def ended(self) -> float:
        """When its answer came."""
        return self.begun + self.seconds


class Scanner:
    """Scans photos in turn, so many a second, each in a task of its own."""

    def __init__(self, channel: grpc.aio.Channel, photos: Sequence[Photo], rate: float) -> None:
        self._stub = GatewayServiceStub(channel)
        self._photos = photos
        self._undisturbed: dict[Photo, pb.ScanResponse] = {}
        self._rate = rate
        self.scans: list[Scan] = []
        self.under_way: set[float] = set()
        """When the scans began that have not ended yet."""

    async def learn(self) -> tuple[int, int]:
        """Notes the undisturbed answers, and leaves out photos of which those are wrong.

        Returns of how many the product is found, and how many photos stay. Raises RuntimeError if it is found of none.
        """
        for photo in self._photos:
            answer = await self._ask(photo)
            if not answer.missing and _is_right(answer, photo):
                self._undisturbed[photo] = answer
        matched = sum(answer.outcome == pb.OUTCOME_MATCHED for answer in self._undisturbed.values())
        if not matched:
            msg = "no photo's product is found, so that nothing can be lost"
            raise RuntimeError(msg)
        return matched, len(self._undisturbed)

    async def run(self) -> None:
        """Until cancelled; scans under way are waited for."""
        photos, start = list(self._undisturbed), time.monotonic()
        async with asyncio.TaskGroup() as scans:
            try:
                for number in count():
                    await asyncio.sleep(start + number / self._rate - time.monotonic())
                    scans.create_task(self._scan(photos[number % len(photos)]))
            except asyncio.CancelledError:
                return

    async def check(self) -> list[Scan]:
        """Scans each photo once more; those whose answer is not the undisturbed one."""
        before = len(self.scans)
        for photo in self._undisturbed:
            await self._scan(photo)
        return [scan for scan in self.scans[before:] if scan.verdict != "whole"]

    async def _scan(self, photo: Photo) -> None:
        begun = time.monotonic()
        self.under_way.add(begun)
        try:
            async with asyncio.timeout(SCAN_SECONDS + _PATIENCE):
                answer = await self._ask(photo)
        except grpc.aio.AioRpcError as error:
            verdict: Verdict = "shed" if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED else "error"
            detail = f"{error.code().name}: {error.details()}"
        except TimeoutError:
            verdict, detail = "hung", "no answer after the deadline"
        else:
            verdict, detail = judge(answer, self._undisturbed[photo], photo)
        finally:
            self.under_way.discard(begun)
        self.scans.append(Scan(begun, time.monotonic() - begun, verdict, detail))

    async def _ask(self, photo: Photo) -> pb.ScanResponse:
        request = pb.ScanRequest(image=Image(encoded=photo.data))
        answer: pb.ScanResponse = await self._stub.Scan(request, timeout=SCAN_SECONDS)
        return answer


def judge(answer: pb.ScanResponse, undisturbed: pb.ScanResponse, photo: Photo) -> tuple[Verdict, str]:
    """What an answer is worth, and why.

    Whole: the undisturbed one. Partial: it names what is missing, and is right or undecided. All else is wrong: another
    product, "not in the catalogue" of one that is found otherwise, and whatever is worse without saying so.
    """
    found, said = _found(answer), pb.Outcome.Name(answer.outcome)
    missing = ", ".join(each.part for each in answer.missing)
    detail = f"{said} {found}; missing: {missing or 'nothing'}"
    if answer.outcome == pb.OUTCOME_MATCHED and found != photo.product_id:
        return "wrong", detail
    if answer.outcome == pb.OUTCOME_NOT_IN_CATALOGUE and undisturbed.outcome != answer.outcome:
        return "wrong", detail
    if missing:
        return "partial", missing
    return ("whole", "") if answer.outcome == undisturbed.outcome else ("wrong", detail)


def _is_right(answer: pb.ScanResponse, photo: Photo) -> bool:
    if answer.outcome == pb.OUTCOME_MATCHED:
        return _found(answer) == photo.product_id
    return answer.outcome == pb.OUTCOME_NOT_IN_CATALOGUE


def _found(answer: pb.ScanResponse) -> str:
    return answer.styles[0].products[0].product.product_id if answer.styles else ""
