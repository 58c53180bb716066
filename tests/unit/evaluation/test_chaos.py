"""What an answer under a fault is worth, and what a fault cost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from evaluation.chaos.campaign import Outcome, Report
from evaluation.chaos.page import rows
from evaluation.chaos.scanning import Scan, judge
from evaluation.chaos.site import clock_environment
from evaluation.chaos.writing import Write
from evaluation.pages import table, write_section
from evaluation.soak import slope
from evaluation.stocked import Photo
from shiwu.v1 import gateway_pb2 as pb
from shiwu.v1.catalog_resources_pb2 import Product

SHOE, ABSENT = Photo(b"", "shoe"), Photo(b"", "")


def answer(outcome: str, found: str = "", *missing: str) -> pb.ScanResponse:
    products = [pb.ProductMatch(product=Product(product_id=found))] if found else []
    return pb.ScanResponse(
        outcome=f"OUTCOME_{outcome}",
        styles=[pb.StyleMatch(products=products)] if found else [],
        missing=[pb.MissingPart(part=part) for part in missing],
    )


@pytest.mark.parametrize(
    ("photo", "undisturbed", "disturbed", "verdict"),
    [
        (SHOE, answer("MATCHED", "shoe"), answer("MATCHED", "shoe"), "whole"),
        (SHOE, answer("MATCHED", "shoe"), answer("MATCHED", "shoe", "catalog"), "partial"),
        (SHOE, answer("MATCHED", "shoe"), answer("UNDECIDED", "", "search"), "partial"),
        (SHOE, answer("MATCHED", "shoe"), answer("UNDECIDED", "hat", "detector"), "partial"),
        (SHOE, answer("MATCHED", "shoe"), answer("UNDECIDED"), "wrong"),
        (SHOE, answer("MATCHED", "shoe"), answer("MATCHED", "hat"), "wrong"),
        (SHOE, answer("MATCHED", "shoe"), answer("MATCHED", "hat", "detector"), "wrong"),
        (SHOE, answer("MATCHED", "shoe"), answer("NOT_IN_CATALOGUE", "hat"), "wrong"),
        (SHOE, answer("MATCHED", "shoe"), answer("NOT_IN_CATALOGUE", "hat", "detector"), "wrong"),
        (SHOE, answer("NOT_IN_CATALOGUE", "hat"), answer("NOT_IN_CATALOGUE", "shoe"), "whole"),
        (SHOE, answer("NOT_IN_CATALOGUE", "hat"), answer("MATCHED", "shoe", "detector"), "partial"),
        (ABSENT, answer("NOT_IN_CATALOGUE", "hat"), answer("MATCHED", "hat", "detector"), "wrong"),
        (ABSENT, answer("NOT_IN_CATALOGUE", "hat"), answer("UNDECIDED", "hat", "search/home"), "partial"),
    ],
)
def test_the_verdict(photo: Photo, undisturbed: pb.ScanResponse, disturbed: pb.ScanResponse, verdict: str) -> None:
    assert judge(disturbed, undisturbed, photo)[0] == verdict


def test_recovery_ends_with_the_last_trouble() -> None:
    scans = [Scan(0, 0.1, "whole"), Scan(1, 0.1, "partial"), Scan(5, 0.5, "error"), Scan(6, 0.1, "whole")]
    assert Outcome("killed", 0.5, 3.0, scans, []).recovery == pytest.approx(2.5)
    assert Outcome("killed", 0.5, 3.0, scans, [Write(4, 3.0, "UNAVAILABLE")]).recovery == pytest.approx(4.0)
    assert Outcome("killed", 0.5, 3.0, scans[:2], []).recovery == 0.0


def test_a_fault_that_came_twice_has_one_row_with_its_longest_recovery() -> None:
    bad, good = Scan(1, 2.0, "error"), Scan(1, 0.1, "whole")
    shed = Scan(1, 0.1, "shed")
    outcomes = [
        Outcome("a", 0, 1, [bad, good], []),
        Outcome("b", 0, 1, [good, shed], []),
        Outcome("a", 0, 1, [good] * 2, []),
    ]
    assert list(rows(Report(0.0, outcomes=outcomes))) == [
        ["a", "2", "4", "25.0%", "0", "0", "0", "0", "2.0"],
        ["b", "1", "2", "0", "50.0%", "0", "0", "0", "0.1"],
    ]


def test_a_section_is_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- a -->\nold\n<!-- /a -->\nafter\n", encoding="utf-8")
    for _ in range(2):
        write_section(page, "a", table(["x"], [["1"]]))
    assert page.read_text(encoding="utf-8") == "before\n<!-- a -->\n\n| x |\n|---|\n| 1 |\n\n<!-- /a -->\nafter\n"
    with pytest.raises(ValueError, match="no section between <!-- b --> and <!-- /b -->"):
        write_section(page, "b", [])


def test_the_slope_of_noise_has_zero_in_its_interval_and_a_leak_has_not() -> None:
    seconds = [5.0 * i for i in range(120)]
    noise = [100 + (i * 7919 % 13) / 10 for i in range(120)]
    growth, low, high = slope(seconds, noise)
    assert low < 0 < high
    assert abs(growth) < 2
    growth, low, high = slope(seconds, [value + second / 60 for value, second in zip(noise, seconds, strict=True)])
    assert growth == pytest.approx(60, abs=3)
    assert low > 50


_BUSY = """
import time
from concurrent.futures import ThreadPoolExecutor
begun = time.process_time()
with ThreadPoolExecutor(6) as pool:
    list(pool.map(lambda _: sum(range(20_000)), range(1_000)))
print(time.process_time() - begun, time.time())
"""


def busy(environment: Mapping[str, str]) -> tuple[float, float]:
    """CPU seconds of six threads in a process of its own, and what time it is there."""
    done = subprocess.run(
        [sys.executable, "-c", _BUSY], env=os.environ | environment, check=True, capture_output=True, text=True
    )
    seconds, now = map(float, done.stdout.split())
    return seconds, now


def test_a_wrong_clock_costs_busy_threads_nothing(tmp_path: Path) -> None:
    """Else a fault that is not even there slows the whole mesh down."""
    environment = clock_environment(tmp_path / "clock")
    (tmp_path / "clock").write_text("+3600\n", encoding="utf-8")
    plain = min(busy({})[0] for _ in range(3))
    assert min(busy(environment)[0] for _ in range(3)) < 3 * plain
    assert busy(environment)[1] - time.time() == pytest.approx(3600, abs=60)
