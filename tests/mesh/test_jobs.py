"""Offline jobs against a real mesh: a feed is cleaned, indexed and found."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import grpc
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from PIL import Image

from offline.indexing.voting import voted
from offline.jobs.desk import JobDesk, parse_options
from offline.jobs.engine import Engine
from offline.jobs.folder import JobFolder
from offline.jobs.known import JOBS
from offline.jobs.settings import JobSettings
from offline.review.applying import apply_accepted
from offline.review.proposals import Proposal
from offline.review.queue import ReviewQueue
from shiwu.chassis.settings import ClientSettings
from shiwu.v1 import catalog_pb2 as pb
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub
from shiwu.v1.catalog_resources_pb2 import Product
from shiwu.wire.ids import image_id
from tests import demo_mesh
from tests.demo_mesh import DemoMesh, eventually

CAMERA, SHOE, ODD = "instant-camera", "freerun-running-shoe", "balloon-chair"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoMesh]:
    demo = demo_mesh.start(Path(tmp_path_factory.mktemp("jobs")), {"DETECTOR_RUNNER__THREADS": "1"})
    with demo.mesh:
        demo.mesh.wait_ready()
        yield demo


@pytest.fixture(scope="module")
def settings(mesh: DemoMesh) -> JobSettings:
    peers = ("detector", "embedder", "classifier", "search", "catalog")
    targets = {name: ClientSettings(target=mesh.mesh.layout.target(name)) for name in peers}
    return JobSettings(home=mesh.folder / "jobs", attempts=2, **targets)


@pytest.fixture(scope="module")
def feed(mesh: DemoMesh) -> Path:
    """A camera with a duplicate and a wrong picture, a shoe that nobody says is one, a row that is none."""
    folder = mesh.folder / "shop"
    folder.mkdir()
    for key in (CAMERA, SHOE):
        for seed in range(4):
            (folder / f"{key}-{seed}.jpg").write_bytes(mesh.photo(key, seed))
    again = io.BytesIO()
    Image.open(folder / f"{CAMERA}-1.jpg").resize((480, 480)).save(again, "JPEG", quality=70)
    (folder / "camera-again.jpg").write_bytes(again.getvalue())
    cv2.imwrite(str(folder / "odd.jpg"), mesh.pixels(ODD)[..., ::-1])
    (folder / "broken.jpg").write_bytes(b"no picture")
    cameras = [f"{CAMERA}-{seed}.jpg" for seed in range(4)]
    rows: list[object] = [
        {"product_id": "cam", "title": "Camera", "category": "appliances", "merchant": "m", "price": "9 USD"}
        | {"images": [*cameras, "camera-again.jpg", "odd.jpg"]},
        {"product_id": "shoe", "title": "跑鞋", "images": "|".join(f"{SHOE}-{seed}.jpg" for seed in range(4))},
        {"product_id": "broken", "title": "Broken", "category": "toys", "images": ["broken.jpg"]},
        "not a row",
    ]
    path = folder / "feed.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def index(settings: JobSettings, feed: Path, job_id: str) -> JobFolder:
    return run(settings, job_id, "index", feed=str(feed), partition=4)


def run(settings: JobSettings, job_id: str, name: str, **options: object) -> JobFolder:
    with JobDesk(settings, JOBS) as desk, Engine(settings, JOBS):
        desk.submit(name, parse_options(JOBS[name], options), job_id)
        eventually(lambda: desk.show(job_id)[0].state not in ("waiting", "running"), 90)
        assert desk.show(job_id)[0].state == "done", desk.dead(job_id)
    return JobFolder(settings.home / job_id)


def stored(mesh: DemoMesh, product: str) -> set[str]:
    with grpc.insecure_channel(mesh.mesh.layout.target("catalog")) as channel:
        request = pb.ListReferenceImagesRequest(product_id=product, page_size=100)
        answer = CatalogServiceStub(channel).ListReferenceImages(request, timeout=10)
    return {image.image_id for image in answer.reference_images}


def product(mesh: DemoMesh, product_id: str) -> Product:
    with grpc.insecure_channel(mesh.mesh.layout.target("catalog")) as channel:
        return CatalogServiceStub(channel).GetProduct(pb.GetProductRequest(product_id=product_id), timeout=10)


def imported(folder: JobFolder) -> tuple[int, int]:
    rows = [row for part in folder.parts("import") for row in pq.ParquetFile(part).read().to_pylist()]
    return sum(row["rows"] for row in rows), sum(row["failed"] for row in rows)


@pytest.mark.slow
def test_a_feed_is_cleaned_indexed_and_found(mesh: DemoMesh, settings: JobSettings, feed: Path) -> None:
    folder = index(settings, feed, "first")
    assert imported(folder) == (4, 2)  # the broken picture and the line that is no row, which the catalogue reports
    camera = {image_id("cam", f"{CAMERA}-{seed}.jpg") for seed in range(4)}
    assert stored(mesh, "cam") == camera, "neither the duplicate nor the chair"
    assert len(stored(mesh, "shoe")) == 4
    assert product(mesh, "shoe").category == "shoes"
    answer = mesh.scan(mesh.photo(CAMERA, seed=9))
    assert answer.styles[0].products[0].product.product_id == "cam"
    vectors = pa.concat_tables([pq.ParquetFile(part).read() for part in folder.parts("vectors")])
    shoes = vectors.filter(pc.equal(vectors["product_id"], "shoe"))
    assert voted(shoes, settings, lambda near: near - {"cam"})["category"].to_pylist() == ["appliances"]
    assert voted(shoes, settings, lambda near: near)["category"].to_pylist() == ["shoes"], "its own are mute"
    assert (folder.path / "report" / "noise.jpg").stat().st_size > 1000

    with ReviewQueue(settings.review) as queue:
        asked = {question.proposal.kind: question for question in queue.find("open", limit=10)}
        assert asked["duplicate"].proposal.subject["image_id"] == image_id("cam", "camera-again.jpg")
        noise = asked["noise"].proposal
        assert noise.subject == {"image_id": image_id("cam", "odd.jpg"), "product_id": "cam"}
        queue.decide(noise.proposal_id, accept=False, by="tester")

    index(settings, feed, "second")
    assert stored(mesh, "cam") == camera | {image_id("cam", "odd.jpg")}, "what was rejected comes back"
    with ReviewQueue(settings.review) as queue:
        assert queue.count("open", "noise") == 0, "what was decided is not asked again"


@pytest.mark.slow
def test_what_is_accepted_is_done_to_the_catalogue_once(mesh: DemoMesh, settings: JobSettings, feed: Path) -> None:
    index(settings, feed, "applied")
    gone = image_id("shoe", f"{SHOE}-3.jpg")
    wrong = Proposal("noise", {"image_id": gone, "product_id": "shoe"}, 1.0, {})
    same = Proposal("merge", {"product_ids": ["cam", "nowhere", "shoe"]}, 1.0, {})
    with ReviewQueue(settings.review) as queue, grpc.insecure_channel(mesh.mesh.layout.target("catalog")) as channel:
        queue.add([wrong, same], "test")
        for proposal in (wrong, same):
            queue.decide(proposal.proposal_id, accept=True, by="tester")
        assert apply_accepted(queue, channel) == {"noise": 1, "merge": 1}
        assert apply_accepted(queue, channel) == {}
    assert gone not in stored(mesh, "shoe")
    styles = {product(mesh, name).style_id for name in ("cam", "shoe")}
    assert len(styles) == 1
    assert styles != {""}


@pytest.mark.slow
def test_products_split_in_two_are_found_again_and_noise_among_them(mesh: DemoMesh, settings: JobSettings) -> None:
    source = mesh.folder / "split"
    for product, key, seeds in (("a", SHOE, range(6)), ("b", SHOE, range(6, 12)), ("c", CAMERA, range(6))):
        (source / product).mkdir(parents=True)
        for seed in seeds:
            (source / product / f"{seed}.jpg").write_bytes(mesh.photo(key, seed))
    merged = run(settings, "merged", "merge", source=str(source), partition=5)
    (group,) = [row for part in merged.parts("groups") for row in pq.ParquetFile(part).read().to_pylist()]
    assert group["product_ids"] == ["a", "b"]
    assert (merged.path / "report" / "styles.jpg").stat().st_size > 1000

    (source / "c" / "odd.jpg").write_bytes(mesh.photo(ODD))
    (source / "c" / "broken.png").write_bytes(b"no picture")
    cleaned = run(settings, "cleaned", "denoise", source=str(source), partition=5)
    rows = [row for part in cleaned.parts("verdicts") for row in pq.ParquetFile(part).read().to_pylist()]
    assert [row["image_id"] for row in rows if row["verdict"] == "noise"] == ["c/odd.jpg"]
    assert "`c/broken.png`: the file is of no known type" in (cleaned.path / "report" / "noise.md").read_text(
        encoding="utf-8"
    )
