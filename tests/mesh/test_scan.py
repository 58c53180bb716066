"""A photo goes in at the gateway and the right product's offers come out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from google.protobuf.json_format import Parse

from offline.pictures.sources import partitions, rows
from shiwu.inference.released import DETECTOR, EMBEDDER
from shiwu.v1 import catalog_pb2, gateway_pb2
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub
from shiwu.v1.embedder_pb2 import EmbedRequest
from shiwu.v1.embedder_pb2_grpc import EmbedderServiceStub
from shiwu.v1.gateway_pb2_grpc import GatewayServiceStub
from shiwu.v1.search_pb2 import SearchRequest
from shiwu.v1.search_pb2_grpc import SearchServiceStub
from shiwu.v1.vision_pb2 import Image
from tests.demo_mesh import ABSENT, STOCK, DemoMesh, eventually


@pytest.fixture
def photo(demo: DemoMesh, tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(demo.photo("instant-camera"))
    return path


def test_every_stocked_product_is_found_with_its_offers(demo: DemoMesh) -> None:
    first = {}
    for key in STOCK:
        answer = demo.scan(demo.photo(key))
        assert not answer.missing
        first[key] = answer.styles[0].products[0]
    right = [key for key, best in first.items() if best.product.product_id == key]
    assert len(right) >= len(STOCK) - 2, {key: best.product.product_id for key, best in first.items()}
    for key in right:
        prices = [offer.price.units + offer.price.nanos / 1e9 for offer in first[key].offers]
        assert len(prices) == 3
        assert prices == sorted(prices)
        assert {offer.product_id for offer in first[key].offers} == {key}


def test_the_merchants_own_picture_is_matched(demo: DemoMesh) -> None:
    answer = demo.scan(demo.products["basketball"].picture.read_bytes(), explain=True)
    assert answer.outcome == gateway_pb2.OUTCOME_MATCHED
    best = answer.styles[0].products[0]
    assert best.product.product_id == "basketball"
    assert answer.confidence > 0.9
    # Not 1: a scan crops what it sees, the catalogue keeps merchants' pictures whole (see the next test).
    evidence = answer.evidence
    runner_up = max(each.similarity for each in evidence.candidates if each.product_id != "basketball")
    assert best.similarity > max(0.8, runner_up + 0.7)
    assert {stage.stage for stage in evidence.stages} >= {"decode", "detect", "embed", "search", "vote", "describe"}
    shares = evidence.vote.detector_share + sum(share.share for share in evidence.vote.shares)
    assert shares == pytest.approx(1.0, abs=1e-4)
    assert sorted(candidate.rank_before for candidate in evidence.candidates) == list(
        range(1, len(evidence.candidates) + 1)
    )
    # The catalogue keeps the picture's local features, and the scan compares them.
    assert "verify" in {stage.stage for stage in evidence.stages}
    proofs = {each.product_id: each.proof for each in evidence.candidates}
    assert proofs.pop("basketball") > 0.3 > max(proofs.values())
    assert answer.versions.detector.startswith(f"{DETECTOR}@")
    assert answer.versions.embedder.startswith(f"{EMBEDDER}@")


def test_much_print_in_the_merchants_own_picture_proves_it(demo: DemoMesh) -> None:
    evidence = demo.scan(demo.products["football"].picture.read_bytes(), explain=True).evidence
    proofs = {each.product_id: each.proof for each in evidence.candidates}
    assert proofs.pop("football") > 0.9
    assert max(proofs.values()) == 0.0


def test_the_catalogue_holds_the_whole_of_a_merchants_picture(demo: DemoMesh) -> None:
    picture = Image(encoded=demo.products["basketball"].picture.read_bytes())
    with grpc.insecure_channel(demo.mesh.layout.target("embedder")) as channel:
        embedded = EmbedderServiceStub(channel).Embed(EmbedRequest(images=[picture], gallery=True), timeout=20)
    with grpc.insecure_channel(demo.mesh.layout.target("search")) as channel:
        request = SearchRequest(vector=embedded.embeddings[0].vector, model=embedded.model, top_k=1)
        found = SearchServiceStub(channel).Search(request, timeout=20)
    best = max((hit for shard in found.shards for hit in shard.hits), key=lambda hit: hit.similarity)
    assert best.product_id == "basketball"
    assert best.similarity > 0.99


def test_an_absent_product_is_never_claimed_to_be_surely_there(demo: DemoMesh) -> None:
    answer = demo.scan(demo.photo(ABSENT))
    assert answer.outcome == gateway_pb2.OUTCOME_NOT_IN_CATALOGUE
    assert answer.styles, "similar products are offered instead"
    assert not answer.articles


def test_what_is_not_in_the_catalogue_is_kept_as_a_gap(demo: DemoMesh) -> None:
    answer = demo.scan(demo.photo(ABSENT, seed=8))
    assert answer.outcome == gateway_pb2.OUTCOME_NOT_IN_CATALOGUE
    with grpc.insecure_channel(demo.mesh.layout.target("catalog")) as channel:
        stub = CatalogServiceStub(channel)

        def known() -> bool:
            return answer.scan_id in {gap.scan_id for gap in stub.ListGaps(catalog_pb2.ListGapsRequest()).gaps}

        eventually(known, 10)


def test_a_deleted_product_is_found_no_more_and_a_new_one_at_once(demo: DemoMesh) -> None:
    extra = demo.write_feed(("clacky-keyboard",), "extra.csv")
    original = demo.products["clacky-keyboard"].picture.read_bytes()
    demo.finish_import(demo.start_import(extra))
    assert demo.scan(original).styles[0].products[0].product.product_id == "clacky-keyboard"
    with grpc.insecure_channel(demo.mesh.layout.target("catalog")) as channel:
        request = catalog_pb2.DeleteProductRequest(product_id="clacky-keyboard")
        CatalogServiceStub(channel).DeleteProduct(request, timeout=20)
    products = [match.product.product_id for style in demo.scan(original).styles for match in style.products]
    assert "clacky-keyboard" not in products


def test_a_second_import_of_the_same_feed_embeds_nothing(demo: DemoMesh) -> None:
    result = demo.finish_import(demo.start_import(demo.write_feed(STOCK)))
    assert result.images_indexed == 0
    assert result.rows_failed == 0


def test_frames_of_a_camera_end_in_one_answer(demo: DemoMesh) -> None:
    picture = demo.products["basketball"].picture.read_bytes()

    def messages():
        yield gateway_pb2.ScanStreamRequest(settings=gateway_pb2.ScanStreamSettings(certain_at=0.5))
        for number in (1, 2, 3):
            frame = gateway_pb2.Frame(image=Image(encoded=picture), number=number)
            yield gateway_pb2.ScanStreamRequest(frame=frame)

    with grpc.insecure_channel(demo.mesh.layout.target("gateway")) as channel:
        events = list(GatewayServiceStub(channel).ScanStream(messages(), timeout=20))
    assert events[-1].WhichOneof("event") == "final"
    assert events[-1].final.styles[0].products[0].product.product_id == "basketball"


class TestCommand:
    def run(self, demo: DemoMesh, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "shiwu.cli", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def targets(self, demo: DemoMesh) -> list[str]:
        layout = demo.mesh.layout
        return ["--gateway", layout.target("gateway"), "--catalog", layout.target("catalog")]

    def test_scan_prints_offers_and_draws(self, demo: DemoMesh, tmp_path: Path) -> None:
        drawing = tmp_path / "out.png"
        photo = str(demo.products["basketball"].picture)
        ran = self.run(demo, "scan", photo, "--explain", "--draw", str(drawing), *self.targets(demo))
        assert ran.returncode == 0, ran.stderr
        assert "Basketball" in ran.stdout
        assert "USD" in ran.stdout
        assert drawing.read_bytes().startswith(b"\x89PNG")

    def test_json_is_the_protos_canonical_json(self, demo: DemoMesh, photo: Path) -> None:
        ran = self.run(demo, "scan", str(photo), "--json", *self.targets(demo))
        answer = Parse(ran.stdout, gateway_pb2.ScanResponse())
        assert answer.scan_id

    def test_exit_codes_tell_what_happened(self, demo: DemoMesh, photo: Path, tmp_path: Path) -> None:
        absent = tmp_path / "absent.jpg"
        absent.write_bytes(demo.photo(ABSENT))
        text = tmp_path / "text.jpg"
        text.write_text("no picture")
        assert self.run(demo, "scan", str(absent), *self.targets(demo)).returncode == 1
        wrong = self.run(demo, "scan", str(text), *self.targets(demo))
        assert (wrong.returncode, "image" in wrong.stderr) == (2, True)
        assert self.run(demo, "scan", str(tmp_path / "none.jpg"), *self.targets(demo)).returncode == 2
        assert self.run(demo, "scan", str(photo), "--gateway", "127.0.0.1:9").returncode == 3

    def test_status_and_catalogue(self, demo: DemoMesh) -> None:
        layout = demo.mesh.layout
        status = self.run(demo, "status", "--port", str(layout.port), "--search", layout.target("search"))
        assert status.returncode == 0, status.stdout + status.stderr
        assert "fashion" in status.stdout
        catalog = ["--target", layout.target("catalog")]
        assert "Basketball" in self.run(demo, "catalog", "list", *catalog).stdout
        assert "Nordlicht" in self.run(demo, "catalog", "show", "basketball", *catalog).stdout
        unknown = self.run(demo, "catalog", "show", "no-such-product", *catalog)
        assert (unknown.returncode, "no-such-product" in unknown.stderr) == (2, True)

    def test_the_catalogues_pictures_are_a_source_of_jobs(self, demo: DemoMesh, tmp_path: Path) -> None:
        out, target = tmp_path / "pictures.jsonl", ["--target", demo.mesh.layout.target("catalog")]
        listed = self.run(demo, "catalog", "pictures", str(out), "--folder", str(demo.folder), *target)
        assert listed.returncode == 0, listed.stderr
        [part] = partitions(out)
        found = {row.product_id: row for row in rows(part)}
        assert set(found) >= set(STOCK)
        ball = found["basketball"]
        assert Path(ball.uri).read_bytes() == demo.products["basketball"].picture.read_bytes()
        assert (ball.category, ball.date[:3]) == (demo.products["basketball"].category, "202")
        nowhere = self.run(demo, "catalog", "pictures", str(tmp_path / "none" / "list.jsonl"), *target)
        assert (nowhere.returncode, "no folder" in nowhere.stderr) == (2, True)
