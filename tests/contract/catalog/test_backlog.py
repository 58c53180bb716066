"""What waits, and what imports have come to."""

from __future__ import annotations

from datetime import UTC, datetime

from services.catalog.metrics import CatalogMetrics
from services.catalog.resources import Backlog, Batch, Operation, Product, Progress, ReferenceImage, RowProblem

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def image(key: str, **facts: str) -> ReferenceImage:
    given = {"sha256": "0" * 64, "model": "m@1", "vector": b"1234"}
    return ReferenceImage(key, "p", width=1, height=1, **(given | facts))


async def test_nothing_waits_in_an_empty_catalogue(store):
    assert await store.backlog() == Backlog(0, None, 0, 0, 0)


async def test_pictures_wait_since_they_last_changed(store):
    await store.create_product(Product("p", "t", "shoes"))
    start = datetime.now(UTC)
    await store.write(Batch(images=(image("i"), image("j"))))
    first = await store.backlog()
    assert (first.images_pending, start <= first.pending_since <= datetime.now(UTC)) == (2, True)
    await store.mark_indexed(await store.index_records(["i", "j"]), NOON)
    assert (await store.backlog()).images_pending == 0

    for change in (
        lambda: store.write(Batch(images=(image("j", sha256="1" * 64),))),
        lambda: store.suspend_images(image_id="j"),
        lambda: store.update_product("p", {"category": "toys"}),
    ):
        moment = datetime.now(UTC)
        await change()
        backlog = await store.backlog()
        assert backlog.images_pending >= 1
        assert moment <= backlog.pending_since, "not since it was added"
        await store.mark_indexed(await store.index_records(["i", "j"]), NOON)


async def test_imports_are_summed_up(store):
    for key in ("a", "b"):
        await store.create_operation(Operation(key, "f", "csv"))
        await store.claim_operation("me", 60, key)
    problems = tuple(RowProblem(row, "title", "empty", "") for row in (2, 3))
    await store.write(Batch(), Progress("a", "me", rows_done=10, problems=problems))
    await store.write(Batch(), Progress("b", "me", rows_done=5))
    await store.finish_operation("a", "me", state="succeeded")
    assert await store.backlog() == Backlog(0, None, 1, 13, 2)


async def test_the_metrics_tell_it_and_how_busy_the_database_is(store):
    metrics = CatalogMetrics(store, store._database)

    def told() -> dict[str, float]:
        found = [sample for metric in metrics.collect() for sample in metric.samples]
        return {" ".join([sample.name, *sample.labels.values()]): sample.value for sample in found}

    assert set(told()) == {"shiwu_database_connections_used", "shiwu_database_connections_limit"}
    await store.create_product(Product("p", "t", "shoes"))
    await store.write(Batch(images=(image("i"),)))
    await metrics.look()
    assert told()["shiwu_index_pending_images"] == 1
    assert 0 < told()["shiwu_index_pending_seconds"] < 60
    assert told()["shiwu_import_rows_total imported"] == 0
    assert told()["shiwu_database_connections_limit"] == 8
    async with store._database.read("test"):
        assert told()["shiwu_database_connections_used"] == 1
    assert told()["shiwu_database_connections_used"] == 0
