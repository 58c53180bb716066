"""The coverage loop as a whole: scanned, kept, clustered, imported, replayed, told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from PIL import Image
from typer.testing import CliRunner

from shiwu.cli.app import app
from shiwu.v1 import catalog_pb2, gateway_pb2
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub
from shiwu.v1.catalog_resources_pb2 import GAP_STATE_CLOSED, VERDICT_WRONG, Gap
from shiwu.v1.gateway_pb2_grpc import GatewayServiceStub
from tests import demo_mesh
from tests.demo_mesh import STOCK, DemoMesh, eventually

LACKING = "clacky-keyboard"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoMesh]:
    """A stocked mesh of its own, that keeps crops."""
    demo = demo_mesh.start(Path(tmp_path_factory.mktemp("coverage")), {"GATEWAY_KEEP_CROPS": "true"})
    with demo.mesh:
        demo.mesh.wait_ready()
        demo.finish_import(demo.start_import(demo.write_feed(STOCK)))
        yield demo


@pytest.fixture
def catalog(loop: DemoMesh) -> Iterator[CatalogServiceStub]:
    with grpc.insecure_channel(loop.mesh.layout.target("catalog")) as channel:
        yield CatalogServiceStub(channel)


def gaps(catalog: CatalogServiceStub, **filters) -> dict[str, Gap]:
    return {gap.scan_id: gap for gap in catalog.ListGaps(catalog_pb2.ListGapsRequest(**filters)).gaps}


def shiwu(demo: DemoMesh, *arguments: str) -> str:
    layout = demo.mesh.layout
    targets = {"SHIWU_GATEWAY": layout.target("gateway"), "SHIWU_CATALOG": layout.target("catalog")}
    done = CliRunner().invoke(app, arguments, env={**targets, "COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.stdout


def rows(table: str) -> list[list[str]]:
    """Cells of the tables' rows."""
    return [
        [cell.strip() for cell in line.strip("│").split("│")] for line in table.splitlines() if line.startswith("│")
    ]


def test_what_is_scanned_and_lacking_closes_when_it_is_imported(
    loop: DemoMesh, catalog: CatalogServiceStub, tmp_path: Path
) -> None:
    scans = [loop.scan(loop.photo(LACKING, seed)) for seed in (3, 8)]
    assert {answer.outcome for answer in scans} == {gateway_pb2.OUTCOME_NOT_IN_CATALOGUE}
    asked = {answer.scan_id for answer in scans}
    eventually(lambda: set(gaps(catalog)) == asked)

    assert shiwu(loop, "gaps", "cluster").split()[0] == "1"
    [row] = rows(shiwu(loop, "gaps", "--draw", str(tmp_path / "sheet.png")))
    assert (row[0], row[4] in asked) == ("2", True)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.convert("L").getextrema()[0] < 100, "there is something on it"
    assert "thing: cluster_id=" in rows(shiwu(loop, "gaps", "next"))[0][2]

    shiwu(loop, "gaps", "replay", "--run", "before")
    assert rows(shiwu(loop, "coverage"))[0][2:] == ["2", "0", "2", "0", "0", "0.0%"]
    assert set(gaps(catalog)) == asked, "a replay is no demand"

    loop.finish_import(loop.start_import(loop.write_feed((LACKING,), "more.csv")))
    shiwu(loop, "gaps", "replay", "--run", "after")
    told = shiwu(loop, "coverage", "--draw", str(tmp_path / "coverage.png"))
    before, after = rows(told)[:2]
    assert (before[0], before[2:]) == ("before", ["2", "0", "2", "0", "0", "0.0%"])
    assert (after[0], after[2:]) == ("after", ["2", "0", "2", "2", "2", "100.0%"])
    with Image.open(tmp_path / "coverage.png") as curve:
        assert curve.width > 400
    closed = gaps(catalog, state=GAP_STATE_CLOSED)
    assert set(closed) == asked
    assert {gap.replay.product_id for gap in closed.values()} == {LACKING}
    assert all(gap.replay.index_time.ToSeconds() and gap.replay.model for gap in closed.values())

    catalog.DeleteProduct(catalog_pb2.DeleteProductRequest(product_id=LACKING), timeout=20)
    assert not gaps(catalog, state=GAP_STATE_CLOSED), "it is lacking again"


def test_a_wrong_answer_is_a_gap_that_the_same_answer_does_not_close(
    loop: DemoMesh, catalog: CatalogServiceStub
) -> None:
    answer = loop.scan(loop.photo("instant-camera"))
    assert answer.outcome == gateway_pb2.OUTCOME_MATCHED
    with grpc.insecure_channel(loop.mesh.layout.target("gateway")) as channel:
        word = gateway_pb2.SendFeedbackRequest(scan_id=answer.scan_id, verdict=VERDICT_WRONG, comment="mine is red")
        GatewayServiceStub(channel).SendFeedback(word, timeout=10)
    eventually(lambda: answer.scan_id in gaps(catalog))
    shiwu(loop, "gaps", "replay", "--run", "refused")
    kept = gaps(catalog)[answer.scan_id]
    assert (kept.refused_product_id, kept.replay.product_id) == ("instant-camera", "instant-camera")
    assert (kept.state != GAP_STATE_CLOSED, kept.comment) == (True, "mine is red")
