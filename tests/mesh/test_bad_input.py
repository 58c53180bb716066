"""Every bad input gets a precise error at the public door, and the mesh goes on as if nothing had been."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pillow_heif
import pytest
from PIL import Image as Pillow

from shiwu.inference.manifest import read_manifest
from shiwu.v1 import catalog_pb2, gateway_pb2, search_pb2
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub
from shiwu.v1.catalog_resources_pb2 import Offer, Product, ReferenceImage
from shiwu.v1.gateway_pb2_grpc import GatewayServiceStub
from shiwu.v1.search_pb2_grpc import SearchServiceStub
from shiwu.v1.vision_pb2 import Box, Image, RawImage
from tests.demo_mesh import DemoMesh

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def encoded(picture: Pillow.Image, format_: str, **options: object) -> bytes:
    data = io.BytesIO()
    picture.save(data, format_, **options)
    return data.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises so many pixels and holds none."""
    chunks = {b"IHDR": struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT": zlib.compress(b""), b"IEND": b""}
    packed = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks.items()
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.fixture(scope="module")
def basketball(demo: DemoMesh) -> Pillow.Image:
    picture = Pillow.open(demo.products["basketball"].picture).convert("RGB")
    picture.thumbnail((640, 640))
    return picture


REFUSED: dict[str, tuple[Callable[[Pillow.Image], bytes], str]] = {
    "empty": (lambda _: b"", "empty"),
    "one pixel": (lambda _: encoded(Pillow.new("RGB", (1, 1)), "PNG"), "1 x 1"),
    "50 megapixels": (lambda _: png_header(10_000, 5_000), "pixels"),
    "decompression bomb": (lambda _: png_header(100_000, 100_000), "pixels"),
    "truncated JPEG": (lambda p: encoded(p, "JPEG")[:-4000], "truncated"),
    "truncated PNG": (lambda p: encoded(p, "PNG")[:-4000], "truncated"),
    "truncated WebP": (lambda p: encoded(p, "WEBP")[:-4000], "truncated"),
    "text named .jpg": (lambda _: b"this is no picture, whatever its name says", "JPEG, PNG, WebP or HEIC"),
    "a GIF": (lambda p: encoded(p, "GIF"), "JPEG, PNG, WebP or HEIC"),
    "21 MiB": (lambda p: encoded(p, "JPEG") + bytes(21 << 20), "bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_pictures_that_cannot_be_read_are_refused_by_name(demo: DemoMesh, basketball: Pillow.Image, name: str) -> None:
    make, expected = REFUSED[name]
    with pytest.raises(grpc.RpcError) as error:
        demo.scan(make(basketball))
    assert error.value.code() is INVALID
    assert error.value.details().startswith("image")
    assert expected.lower() in error.value.details().lower()


def rotated(picture: Pillow.Image) -> bytes:
    exif = Pillow.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    return encoded(picture.rotate(90, expand=True), "JPEG", exif=exif)


def heic(picture: Pillow.Image) -> bytes:
    data = io.BytesIO()
    pillow_heif.from_pillow(picture).save(data)
    return data.getvalue()


UNDERSTOOD: dict[str, Callable[[Pillow.Image], bytes]] = {
    "CMYK JPEG": lambda p: encoded(p.convert("CMYK"), "JPEG"),
    "PNG with alpha": lambda p: encoded(p.convert("RGBA"), "PNG"),
    "WebP": lambda p: encoded(p, "WEBP"),
    "animated WebP": lambda p: encoded(p, "WEBP", save_all=True, append_images=[Pillow.new("RGB", p.size)]),
    "EXIF-rotated JPEG": rotated,
    "HEIC": heic,
}


@pytest.mark.parametrize("name", UNDERSTOOD)
def test_unusual_pictures_are_understood(demo: DemoMesh, basketball: Pillow.Image, name: str) -> None:
    answer = demo.scan(UNDERSTOOD[name](basketball))
    assert answer.styles[0].products[0].product.product_id == "basketball"


def test_a_grayscale_photo_is_scanned(demo: DemoMesh, basketball: Pillow.Image) -> None:
    assert demo.scan(encoded(basketball.convert("L"), "JPEG")).outcome != gateway_pb2.OUTCOME_UNSPECIFIED


SMALL = Image(raw=RawImage(width=64, height=64, rgb=bytes(64 * 64 * 3)))
WRONG_SCANS: dict[str, tuple[gateway_pb2.ScanRequest, str]] = {
    "no image": (gateway_pb2.ScanRequest(), "image"),
    "top_k 0": (gateway_pb2.ScanRequest(image=SMALL, top_k=0), "top_k"),
    "top_k -1": (gateway_pb2.ScanRequest(image=SMALL, top_k=-1), "top_k"),
    "top_k a million": (gateway_pb2.ScanRequest(image=SMALL, top_k=10**6), "top_k"),
    "raw of the wrong length": (
        gateway_pb2.ScanRequest(image=Image(raw=RawImage(width=64, height=64, rgb=b"123"))),
        "image",
    ),
    "focus outside": (
        gateway_pb2.ScanRequest(image=SMALL, focus=Box(x_min=0.5, y_min=0.5, x_max=1.5, y_max=1)),
        "focus",
    ),
    "focus of NaN": (
        gateway_pb2.ScanRequest(image=SMALL, focus=Box(x_min=float("nan"), y_min=0, x_max=1, y_max=1)),
        "focus",
    ),
}


@pytest.mark.parametrize("name", WRONG_SCANS)
def test_wrong_scan_requests_name_the_field(demo: DemoMesh, name: str) -> None:
    request, field = WRONG_SCANS[name]
    with grpc.insecure_channel(demo.mesh.layout.target("gateway")) as channel, pytest.raises(grpc.RpcError) as error:
        GatewayServiceStub(channel).Scan(request, timeout=10)
    assert error.value.code() is INVALID
    assert error.value.details().startswith(field)


def test_an_expired_deadline_is_told_as_one(demo: DemoMesh, basketball: Pillow.Image) -> None:
    with pytest.raises(grpc.RpcError) as error:
        demo.scan(encoded(basketball, "JPEG"), timeout=0.001)
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


EMBEDDER = read_manifest(Path("models/embedder-lite0"))
DIMENSION = EMBEDDER.outputs[0].shape[1]
VECTOR = (np.eye(DIMENSION, dtype="<f4")[0]).tobytes()
MODEL = EMBEDDER.id


def search_request(vector: bytes = VECTOR, model: str = MODEL, **fields: object) -> search_pb2.SearchRequest:
    return search_pb2.SearchRequest(vector=vector, model=model, **fields)


WRONG_SEARCHES: dict[str, tuple[search_pb2.SearchRequest, str]] = {
    "too short": (search_request(VECTOR[:-4]), "vector"),
    "NaN": (search_request(np.full(DIMENSION, np.nan, "<f4").tobytes()), "vector"),
    "zero norm": (search_request(bytes(4 * DIMENSION)), "vector"),
    "top_k 0": (search_request(top_k=0), "top_k"),
    "top_k a million": (search_request(top_k=10**6), "top_k"),
    "unknown category": (search_request(categories=["spaceships"]), "categories"),
}


@pytest.mark.parametrize("name", WRONG_SEARCHES)
def test_wrong_searches_name_the_field(demo: DemoMesh, name: str) -> None:
    request, field = WRONG_SEARCHES[name]
    with grpc.insecure_channel(demo.mesh.layout.target("search")) as channel, pytest.raises(grpc.RpcError) as error:
        SearchServiceStub(channel).Search(request, timeout=10)
    assert error.value.code() is INVALID
    assert error.value.details().startswith(field)


def test_a_catalogue_of_another_model_is_told_apart(demo: DemoMesh) -> None:
    with grpc.insecure_channel(demo.mesh.layout.target("search")) as channel, pytest.raises(grpc.RpcError) as error:
        SearchServiceStub(channel).Search(search_request(model="embedder-lite0@99"), timeout=10)
    assert error.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "embedder-lite0@99" in error.value.details()


def product(**fields: object) -> catalog_pb2.CreateProductRequest:
    return catalog_pb2.CreateProductRequest(
        product=Product(**({"product_id": "p1", "title": "A thing", "category": "toys"} | fields))
    )


def test_wrong_catalogue_writes_name_the_field(demo: DemoMesh) -> None:
    with grpc.insecure_channel(demo.mesh.layout.target("catalog")) as channel:
        stub = CatalogServiceStub(channel)

        def refused(call: Callable[..., object], request: object) -> tuple[grpc.StatusCode, str]:
            with pytest.raises(grpc.RpcError) as error:
                call(request, timeout=10)
            return error.value.code(), error.value.details()

        code, details = refused(stub.CreateProduct, product(category="spaceships"))
        assert (code, "product.category" in details, "furniture" in details) == (INVALID, True, True)
        code, details = refused(stub.CreateProduct, product(product_id="two words"))
        assert (code, "product.product_id" in details) == (INVALID, True)
        code, details = refused(stub.CreateProduct, product(product_id="basketball"))
        assert (code, "basketball" in details) == (grpc.StatusCode.ALREADY_EXISTS, True)
        offer = Offer(offer_id="o1", product_id="no-such-product", merchant="M")
        offer.price.currency_code = "USD"
        code, details = refused(stub.CreateOffer, catalog_pb2.CreateOfferRequest(offer=offer))
        assert (code, "no-such-product" in details) == (grpc.StatusCode.NOT_FOUND, True)
        picture = ReferenceImage(image_id="i1", product_id="basketball")
        request = catalog_pb2.CreateReferenceImageRequest(reference_image=picture, image=Image(encoded=b"no picture"))
        code, details = refused(stub.CreateReferenceImage, request)
        assert (code, "image" in details) == (INVALID, True)


def test_a_feed_reports_its_bad_rows_and_keeps_the_good_ones(demo: DemoMesh) -> None:
    good = "good-1,A good one,toys,package/assets/images/{0},Shop,12.50,USD"
    rows = (
        "product_id,title,category,images,merchant,price,currency",
        good,
        "bad-price,Title,toys,package/assets/images/{0},Shop,twelve,USD",
        "bad-url,Title,toys,ftp://example.com/a.jpg,Shop,1.00,USD",
        "bad-category,Title,spaceships,package/assets/images/{0},Shop,1.00,USD",
        "no-file,Title,toys,package/assets/images/none.jpg,Shop,1.00,USD",
        "good-1,A good one,toys,package/assets/images/{0},Shop,12.50,USD",
    )
    name = demo.products["tennis-ball"].picture.name
    path = demo.folder / "mixed.csv"
    path.write_text("\n".join(rows).format(name) + "\n", encoding="utf-8")
    result = demo.finish_import(demo.start_import(path))
    assert result.rows_total == 6
    assert [(error.row, error.field) for error in result.errors] == [
        (3, "price"),
        (4, "images"),
        (5, "category"),
        (6, "images"),
        (7, "product_id"),  # the same product of the same merchant as in row 2
    ]
    with grpc.insecure_channel(demo.mesh.layout.target("catalog")) as channel:
        stub = CatalogServiceStub(channel)
        assert stub.GetProduct(catalog_pb2.GetProductRequest(product_id="good-1"), timeout=10).title == "A good one"
        stub.DeleteProduct(catalog_pb2.DeleteProductRequest(product_id="good-1"), timeout=10)
