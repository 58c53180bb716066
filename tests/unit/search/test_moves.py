"""Categories on their way from one shard to another."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from services.search.index import ShardedIndex
from services.search.memory import MemoryStore
from services.search.shards import Move, ShardMap
from shiwu.categories import CATEGORIES
from shiwu.chassis.errors import PreconditionError

from .stores import MODEL, record, unit

SHOE = record(0, "shoes")
BOOK = record(1, "books")
PLACES = {"announced": {"old"}, "copying": {"old", "new"}, "switched": {"old", "new"}, "clearing": {"new"}}
SEARCHED = {"announced": "old", "copying": "old", "switched": "new", "clearing": "new"}


def shard_map(phase: str) -> ShardMap:
    home = SEARCHED[phase]
    mine = {"old": [each for each in CATEGORIES if each != "shoes"], "new": []}
    mine[home].append("shoes")
    return ShardMap.model_validate(
        {
            "shards": [{"name": name, "categories": mine[name], "endpoint": "http://milvus:19530"} for name in mine],
            "moves": [{"category": "shoes", "source": "old", "target": "new", "phase": phase}],
        }
    )


def opened(phase: str, stores: dict[str, MemoryStore]) -> ShardedIndex:
    """A search service in this phase."""
    shards = shard_map(phase)
    return ShardedIndex([(shard, stores[shard.name]) for shard in shards.shards], moves=shards.moves)


@pytest.fixture
def stores() -> dict[str, MemoryStore]:
    return {"old": MemoryStore("old"), "new": MemoryStore("new")}


async def places(stores: dict[str, MemoryStore], image_id: str) -> set[str]:
    return {name for name, store in stores.items() if await store.find(MODEL, [image_id])}


async def found(index: ShardedIndex) -> list[tuple[str, str]]:
    answers = await index.search(MODEL, unit(0), top_k=9)
    return [(answer.shard, hit.image_id) for answer in answers for hit in answer.hits]


@pytest.mark.parametrize("phase", PLACES)
async def test_where_it_is_written_and_searched(stores: dict[str, MemoryStore], phase: str) -> None:
    index = opened(phase, stores)
    await index.upsert(MODEL, [SHOE, BOOK])
    assert await places(stores, SHOE.image_id) == PLACES[phase]
    assert await places(stores, BOOK.image_id) == {"old"}
    assert sorted(await found(index)) == sorted([(SEARCHED[phase], SHOE.image_id), ("old", BOOK.image_id)])
    assert await index.find_missing(MODEL, [SHOE.image_id, BOOK.image_id]) == []
    await index.delete([SHOE.image_id])
    assert await places(stores, SHOE.image_id) == set()


PHASES = list(PLACES)


@pytest.mark.parametrize(("first", "second"), [*pairwise(PHASES), *pairwise(PHASES[::-1])])
async def test_neighbouring_phases_see_each_others_writes(
    stores: dict[str, MemoryStore], first: str, second: str
) -> None:
    """While search is restarted one by one, some are in a phase and the others in the next one."""
    writer, reader = opened(first, stores), opened(second, stores)
    await writer.upsert(MODEL, [SHOE, BOOK])
    assert (SEARCHED[second], SHOE.image_id) in await found(reader)
    await reader.delete([SHOE.image_id])
    assert await places(stores, SHOE.image_id) == set()


async def test_what_is_missing_while_copying_and_left_over_while_clearing(stores: dict[str, MemoryStore]) -> None:
    await opened("announced", stores).upsert(MODEL, [SHOE])
    copying = opened("copying", stores)
    assert await copying.find_missing(MODEL, [SHOE.image_id]) == [SHOE.image_id]
    await copying.upsert(MODEL, [SHOE])
    assert await copying.find_missing(MODEL, [SHOE.image_id]) == []
    clearing = opened("clearing", stores)
    assert await found(clearing) == [("new", SHOE.image_id)], "what is left in the old shard is not found twice"
    await clearing.prune()
    assert await places(stores, SHOE.image_id) == {"new"}
    await opened("copying", stores).prune()
    assert await places(stores, SHOE.image_id) == {"new"}, "only what has moved for good is removed"


async def test_a_version_is_not_swapped_while_a_category_moves(stores: dict[str, MemoryStore]) -> None:
    index = opened("copying", stores)
    await index.upsert(MODEL, [SHOE])
    with pytest.raises(PreconditionError, match="shoes is being moved"):
        await index.serve(MODEL)


async def test_a_picture_that_changes_category_leaves_both_shards(stores: dict[str, MemoryStore]) -> None:
    index = opened("copying", stores)
    await index.upsert(MODEL, [SHOE])
    await index.upsert(MODEL, [replace(SHOE, category="books")])
    assert await places(stores, SHOE.image_id) == {"old"}
    assert await stores["old"].find(MODEL, [SHOE.image_id]) == {SHOE.image_id: "books"}


WRONG = {
    "unlisted": ({"phase": "switched"}, "shoes, whose move is switched, is to be listed in new"),
    "no shard": ({"target": "moon"}, "moon, of the move of shoes, is no shard"),
    "to itself": ({"target": "old"}, "shoes is moved from old to itself"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_move_says_what_is_wrong(name: str) -> None:
    changes, message = WRONG[name]
    document = shard_map("copying").model_dump()
    document["moves"] = [Move(category="shoes", source="old", target="new", phase="copying").model_dump() | changes]
    with pytest.raises(ValueError, match=message):
        ShardMap.model_validate(document)
