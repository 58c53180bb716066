"""Shard maps as the command changes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.search.shards import DEFAULT_MAP, ShardMap, read_shard_map
from shiwu.cli import shards
from shiwu.cli.connection import InputError

PLACE = "http://milvus:19530"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    copy = tmp_path / "shards.yaml"
    copy.write_text(DEFAULT_MAP.read_text().replace("vectors.db", PLACE))
    return copy


def homes(shard_map: ShardMap) -> dict[str, tuple[str, ...]]:
    return {shard.name: shard.categories for shard in shard_map.shards}


def advanced(path: Path) -> ShardMap:
    shards._write(path, shards._advanced(read_shard_map(path)))
    return read_shard_map(path)


def test_a_new_shard_takes_categories_by_phases(path: Path) -> None:
    before = homes(read_shard_map(path))
    shards.add(path, "new", PLACE, ["toys", "food"])
    assert [(move.category, move.source, move.phase) for move in read_shard_map(path).moves] == [
        ("toys", "home", "announced"),
        ("food", "pantry", "announced"),
    ]
    assert homes(read_shard_map(path)) == before | {"new": ()}
    assert homes(advanced(path)) == before | {"new": ()}, "copying"
    switched = advanced(path)
    assert homes(switched)["new"] == ("toys", "food")
    assert homes(switched)["home"] == ("appliances", "furniture")
    assert {move.phase for move in advanced(path).moves} == {"clearing"}
    assert advanced(path).moves == ()


def test_a_drained_shard_leaves_the_map_at_the_end(path: Path) -> None:
    shards.drain(path, "pantry", "media")
    for _ in range(3):
        assert "pantry" in homes(advanced(path))
    done = advanced(path)
    assert homes(done)["media"] == ("books", "other", "food", "beauty")
    assert "pantry" not in homes(done)


def test_a_map_is_never_replaced_by_none(path: Path) -> None:
    before = path.read_text()
    for wrong, message in (
        (lambda: shards.add(path, "home", PLACE, ["food"]), "2 shards are called home"),
        (lambda: shards.add(path, "new", "milvus", ["food"]), "neither http"),
        (lambda: shards.add(path, "new", PLACE, ["ships"]), "ships: no such category"),
        (lambda: shards.drain(path, "moon", "home"), "no shard 'moon' with categories"),
        (lambda: shards.drain(path, "home", "home"), "from home to itself"),
        (lambda: shards.drain(path, "home", "moon"), "moon, of the move of"),
        (lambda: shards.advance(path, "127.0.0.1:1", "127.0.0.1:1"), "nothing is being moved"),
    ):
        with pytest.raises(InputError, match=message):
            wrong()
        assert path.read_text() == before


def test_the_servers_behind_a_target() -> None:
    assert shards.addresses("ipv4:10.0.0.1:1,10.0.0.2:2") == ["10.0.0.1:1", "10.0.0.2:2"]
    assert shards.addresses("localhost:50054") == shards.addresses("dns:///localhost:50054") == ["127.0.0.1:50054"]
    with pytest.raises(InputError, match="nowhere"):
        shards.addresses("nowhere")
