"""Gaps are kept beside the scans, never in their way."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import cv2
import numpy as np

from services.gateway.gaps import GapRecorder, Recent
from services.gateway.ports import Gap
from shiwu.chassis.errors import UnavailableError
from tests.unit.gateway.world import DictCatalog, embed, tile


def gap(scan_id):
    return Gap(scan_id, "toys", 0.2, datetime.now(UTC), b"", embed(tile(1)), "tiles@1")


def recorder(catalog, *, waiting=8, seconds=2.0, keep_crops=False, recent=None):
    return GapRecorder(catalog, waiting=waiting, seconds=seconds, keep_crops=keep_crops, recent=recent)


async def test_leaving_empties_the_queue():
    catalog = DictCatalog(delay=0.01)
    async with recorder(catalog) as gaps:
        for i in range(5):
            gaps.offer(gap(f"s{i}"), tile(1))
        assert catalog.gaps == [], "nobody waited"
    assert [each.scan_id for each in catalog.gaps] == [f"s{i}" for i in range(5)]


async def test_pixels_stay_here_unless_they_are_to_be_kept():
    catalog = DictCatalog()
    async with recorder(catalog) as gaps:
        gaps.offer(gap("s1"), tile(1))
    assert catalog.gaps[0].crop == b""


async def test_kept_crops_are_jpeg_files():
    catalog = DictCatalog()
    view = np.zeros((200, 200, 3), np.uint8)
    view[20:180, 20:180] = tile(1)
    async with recorder(catalog, keep_crops=True) as gaps:
        gaps.offer(gap("s1"), view[20:180, 20:180])
    crop = cv2.imdecode(np.frombuffer(catalog.gaps[0].crop, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert crop.shape == (160, 160, 3)
    assert np.abs(crop.astype(int) - tile(1)).mean() < 12


async def test_crops_are_kept_as_large_as_the_catalogue_takes_them():
    catalog = DictCatalog()
    async with recorder(catalog, keep_crops=True) as gaps:
        gaps.offer(gap("s1"), np.zeros((200, 345, 3), np.uint8))
    crop = cv2.imdecode(np.frombuffer(catalog.gaps[0].crop, np.uint8), cv2.IMREAD_COLOR)
    assert crop.shape == (186, 320, 3)


async def test_too_many_are_dropped_and_nobody_waits():
    catalog = DictCatalog(delay=0.02)
    async with recorder(catalog, waiting=2) as gaps:
        for i in range(10):
            gaps.offer(gap(f"s{i}"), tile(1))
    assert [each.scan_id for each in catalog.gaps] == ["s0", "s1"]


async def test_a_catalogue_that_fails_costs_only_these_gaps():
    catalog = DictCatalog(error=UnavailableError("down"))
    async with recorder(catalog) as gaps:
        gaps.offer(gap("lost"), tile(1))
        await asyncio.sleep(0.02)
        catalog.error = KeyError("a bug")
        gaps.offer(gap("lost, too"), tile(1))
        await asyncio.sleep(0.02)
        catalog.error = None
        gaps.offer(gap("kept"), tile(1))
    assert [each.scan_id for each in catalog.gaps] == ["kept"]


async def test_leaving_does_not_wait_for_ever():
    catalog = DictCatalog(delay=30.0)
    async with asyncio.timeout(2.0):
        async with recorder(catalog, seconds=0.05) as gaps:
            gaps.offer(gap("s1"), tile(1))
    assert catalog.gaps == []


async def test_a_scan_that_found_the_wrong_thing_is_kept_once_it_is_called_wrong():
    catalog = DictCatalog()
    async with recorder(catalog, keep_crops=True) as gaps:
        gaps.answered(replace(gap("s1"), refused_product_id="chair"), tile(1))
        gaps.answered(gap("right"), tile(1))
        gaps.refused("s1")
        gaps.refused("s1")
    [kept] = catalog.gaps
    assert (kept.scan_id, kept.refused_product_id) == ("s1", "chair")
    assert kept.crop


async def test_of_a_scan_that_was_called_wrong_no_pixels_are_kept_unless_crops_are():
    catalog = DictCatalog()
    async with recorder(catalog) as gaps:
        gaps.answered(gap("s1"), tile(1))
        assert all(crop is None for _, _, crop in gaps._answered.values())
        gaps.refused("s1")
    assert catalog.gaps[0].crop == b""


async def test_a_gap_that_is_called_wrong_stays_one_gap():
    catalog = DictCatalog()
    async with recorder(catalog) as gaps:
        gaps.offer(gap("s1"), tile(1))
        gaps.refused("s1")
    assert [each.scan_id for each in catalog.gaps] == ["s1"]
    assert gaps.outcomes["forgotten"] == 0


async def test_few_scans_are_remembered_and_not_for_long_and_what_is_forgotten_is_counted():
    catalog = DictCatalog()
    async with recorder(catalog, recent=Recent(2, 0.2)) as gaps:
        for scan_id in ("s1", "s2", "s3"):
            gaps.answered(gap(scan_id), tile(1))
        gaps.refused("s1")
        gaps.refused("never seen")
        gaps.refused("s2")
        await asyncio.sleep(0.25)
        gaps.refused("s3")
    assert [each.scan_id for each in catalog.gaps] == ["s2"]
    assert gaps.outcomes["forgotten"] == 3
