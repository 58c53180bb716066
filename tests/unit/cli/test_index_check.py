"""What a check of the index makes of pictures that are deleted while it looks."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from rich.console import Console

from shiwu.cli.index_check import check
from shiwu.v1 import catalog_pb2, search_pb2
from shiwu.v1.catalog_pb2_grpc import CatalogServiceServicer, add_CatalogServiceServicer_to_server
from shiwu.v1.catalog_resources_pb2 import ReferenceImage
from shiwu.v1.search_pb2_grpc import SearchServiceServicer, add_SearchServiceServicer_to_server

MODEL = "general@1"


class Search(SearchServiceServicer):
    """Two shards, one of which loses some pictures after it was read for the first time."""

    def __init__(self) -> None:
        self.held = {"one": {"a": "shoes", "ab": "shoes", "b": "shoes", "z": "shoes"}, "two": {"c": "bags"}}
        self.leaving: set[str] = set()

    def DescribeShards(self, request, context):
        shards = [
            search_pb2.Shard(name=name, categories=[kind], indexes=[search_pb2.ShardIndex(model=MODEL, serving=True)])
            for name, kind in (("one", "shoes"), ("two", "bags"))
        ]
        return search_pb2.DescribeShardsResponse(shards=shards)

    def ListRecords(self, request, context):
        here = self.held[request.shard]
        ids = [each for each in sorted(here) if each > request.page_token][: request.page_size]
        for each in self.leaving:
            here.pop(each, None)
        more = ids[-1] if len(ids) == request.page_size else ""
        records = [search_pb2.VectorRecord(image_id=each, category=here.get(each, "shoes")) for each in ids]
        return search_pb2.ListRecordsResponse(records=records, next_page_token=more)


class Catalog(CatalogServiceServicer):
    """Has the pictures a and c."""

    def ListReferenceImages(self, request, context):
        images = [ReferenceImage(image_id=each, model=MODEL) for each in ("a", "c")]
        for image in images:
            image.index_time.GetCurrentTime()
        return catalog_pb2.ListReferenceImagesResponse(reference_images=images)

    def GetReferenceImage(self, request, context):
        context.abort(grpc.StatusCode.NOT_FOUND, "no such picture")


@pytest.fixture
def search() -> Search:
    return Search()


@pytest.fixture
def channel(search: Search) -> Iterator[grpc.Channel]:
    server = grpc.server(ThreadPoolExecutor(2))
    add_SearchServiceServicer_to_server(search, server)
    add_CatalogServiceServicer_to_server(Catalog(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    server.stop(None)


def test_what_is_in_the_index_only_is_found(channel: grpc.Channel) -> None:
    found = check(channel, channel, Console(quiet=True))
    assert (found.images, found.unknown, found.missing, found.misplaced) == (2, ["ab", "b", "z"], [], [])


def test_what_is_deleted_meanwhile_is_not_wrong(search: Search, channel: grpc.Channel) -> None:
    search.leaving = {"ab", "z"}
    assert check(channel, channel, Console(quiet=True)).unknown == ["b"]
