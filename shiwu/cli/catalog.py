"""`shiwu catalog`: products in, out and on the screen."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC
from pathlib import Path

import grpc
from google.longrunning import operations_pb2, operations_pb2_grpc
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from shiwu.cli.answer import price
from shiwu.cli.connection import InputError, connected
from shiwu.v1 import catalog_pb2 as pb
from shiwu.v1 import catalog_resources_pb2 as resources
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub

_TIMEOUT = 10.0
_POLL_SECONDS = 0.2
_ERRORS_SHOWN = 10


def import_feed(feed: Path, merchant: str, target: str, *, complete: bool = False, force: bool = False) -> bool:
    """Starts an import and follows it; true when every row was imported, and what vanished was closed."""
    if not feed.is_file():
        msg = f"there is no file {feed}"
        raise InputError(msg)
    request = pb.ImportProductsRequest(
        feed_uri=feed.resolve().as_uri(), default_merchant=merchant, complete=complete, force=force
    )
    with connected(target) as channel:
        operation = CatalogServiceStub(channel).ImportProducts(request, timeout=_TIMEOUT)
    return watch(operation.name, target)


def watch(name: str, target: str) -> bool:
    """Follows an import to its end; true when every row was imported. Ctrl-C leaves it going."""
    console = Console()
    with connected(target) as channel:
        try:
            operation = _follow(operations_pb2_grpc.OperationsStub(channel), name, console)
        except KeyboardInterrupt:
            console.print(f"\nthe import goes on; follow it with: shiwu catalog watch {name}")
            return False
    if operation.HasField("error"):
        console.print(f"[red]the import failed:[/] {escape(operation.error.message)}")
        return False
    response = pb.ImportProductsResponse()
    operation.response.Unpack(response)
    return _print_result(console, response)


def _follow(stub: operations_pb2_grpc.OperationsStub, name: str, console: Console) -> operations_pb2.Operation:
    columns = (TextColumn("importing"), BarColumn(), MofNCompleteColumn(), TextColumn("rows"), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("import", total=None)
        while True:
            operation = stub.GetOperation(operations_pb2.GetOperationRequest(name=name), timeout=_TIMEOUT)
            metadata = pb.ImportProductsMetadata()
            operation.metadata.Unpack(metadata)
            progress.update(task, total=metadata.rows_total or None, completed=metadata.rows_done)
            if operation.done:
                return operation
            time.sleep(_POLL_SECONDS)


def _print_result(console: Console, response: pb.ImportProductsResponse) -> bool:
    good = response.rows_total - response.rows_failed
    console.print(
        f"[green]{good:,} of {response.rows_total:,} rows[/]: {response.products_written:,} products added or changed, "
        f"{response.images_indexed:,} pictures indexed, {response.images_unchanged:,} as they were, "
        f"{response.offers_closed:,} offers closed, {response.offers_reopened:,} open again"
    )
    if response.closing_refused:
        console.print(f"[yellow]{escape(response.closing_refused)}[/]")
    for error in response.errors[:_ERRORS_SHOWN]:
        console.print(f"[red]row {error.row}[/] {escape(error.field)}: {escape(error.problem)}")
    if response.rows_failed:
        console.print(f"{response.rows_failed:,} rows failed; all of them: {response.errors_uri}")
    return response.rows_failed == 0 and not response.closing_refused


def list_products(category: str, style: str, limit: int, target: str) -> None:
    """Prints a table of products."""
    table = Table("product", "title", "brand", "category", "style")
    with connected(target) as channel:
        for product in _products(CatalogServiceStub(channel), category, style, limit):
            row = (product.product_id, product.title, product.brand, product.category, product.style_id)
            table.add_row(*map(escape, row))
    Console().print(table)


def _products(stub: CatalogServiceStub, category: str, style: str, limit: int) -> Iterator[resources.Product]:
    token = ""
    while limit > 0:
        request = pb.ListProductsRequest(
            page_size=min(limit, 1000), page_token=token, category=category, style_id=style
        )
        page = stub.ListProducts(request, timeout=_TIMEOUT)
        yield from page.products
        limit -= len(page.products)
        token = page.next_page_token
        if not token:
            return


def list_pictures(out: Path, folder: Path, category: str, target: str) -> None:
    """Writes the pictures that came from somewhere, as a list for jobs; product by product, whole or not at all."""
    if not out.parent.is_dir():
        msg = f"there is no folder {out.parent}"
        raise InputError(msg)
    unfinished, written = out.with_name(f"{out.name}.unfinished"), 0
    columns = (TextColumn("{task.completed:,} pictures"), TimeElapsedColumn())
    with connected(target) as channel, unfinished.open("w", encoding="utf-8") as file, Progress(*columns) as progress:
        task = progress.add_task("pictures", total=None)
        stub = CatalogServiceStub(channel)
        for product in _products(stub, category, "", sys.maxsize):
            for image in _images(stub, product.product_id):
                if image.uri:  # what was uploaded is not kept
                    file.write(json.dumps(_listed(image, product, folder), ensure_ascii=False) + "\n")
                    written += 1
            progress.update(task, completed=written)
    unfinished.replace(out)


def _listed(image: resources.ReferenceImage, product: resources.Product, folder: Path) -> dict[str, str]:
    return {
        "uri": image.uri if "://" in image.uri else str(folder.resolve() / image.uri),
        "image_id": image.image_id,
        "product_id": image.product_id,
        "category": product.category,
        "date": image.create_time.ToDatetime(UTC).isoformat(),
    }


def _images(stub: CatalogServiceStub, product_id: str) -> Iterator[resources.ReferenceImage]:
    token = ""
    while True:
        request = pb.ListReferenceImagesRequest(product_id=product_id, page_size=1000, page_token=token)
        page = stub.ListReferenceImages(request, timeout=_TIMEOUT)
        yield from page.reference_images
        token = page.next_page_token
        if not token:
            return


def show(product_id: str, target: str) -> None:
    """Prints a product with its pictures and offers."""
    console = Console()
    with connected(target) as channel:
        stub = CatalogServiceStub(channel)
        product = stub.GetProduct(pb.GetProductRequest(product_id=product_id), timeout=_TIMEOUT)
        images = stub.ListReferenceImages(pb.ListReferenceImagesRequest(product_id=product_id), timeout=_TIMEOUT)
        offers = stub.ListOffers(pb.ListOffersRequest(product_id=product_id), timeout=_TIMEOUT)
    console.print(f"[bold]{escape(product.title)}[/]  {escape(product.brand)}")
    console.print(f"{product.product_id} · {product.category} · style {product.style_id or 'none'} · {product.gtin}")
    if product.description:
        console.print(escape(product.description))
    pictures = Table("picture", "size", "model", "findable since", "from", title="pictures", title_justify="left")
    for image in images.reference_images:
        since = image.index_time.ToDatetime().isoformat(" ", "seconds")
        pictures.add_row(image.image_id, f"{image.width} x {image.height}", image.model, since, escape(image.uri))
    console.print(pictures)
    table = Table("merchant", "price", "available", "page", title="offers", title_justify="left")
    for offer in offers.offers:
        table.add_row(escape(offer.merchant), price(offer.price), "yes" if offer.available else "no", escape(offer.url))
    console.print(table)


def delete(product_id: str, target: str) -> None:
    """Deletes a product; scans do not find it any more afterwards."""
    with connected(target) as channel:
        try:
            CatalogServiceStub(channel).DeleteProduct(pb.DeleteProductRequest(product_id=product_id), timeout=60)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            msg = f"there is no product {product_id}"
            raise InputError(msg) from error
    Console().print(f"deleted {escape(product_id)}")
