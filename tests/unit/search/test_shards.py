from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from services.search.shards import DEFAULT_MAP, ShardMap, ShardMapError, read_shard_map
from shiwu.categories import CATEGORIES

Document = dict[str, list[dict[str, object]]]


def document() -> Document:
    half = len(CATEGORIES) // 2
    return {
        "shards": [
            {"name": "one", "categories": list(CATEGORIES[:half]), "endpoint": "http://milvus:19530"},
            {"name": "two", "categories": list(CATEGORIES[half:]), "endpoint": "data/vectors.db"},
        ]
    }


def read(tmp_path: Path, content: object) -> ShardMap:
    path = tmp_path / "shards.yaml"
    path.write_text(yaml.safe_dump(content))
    return read_shard_map(path)


def test_the_default_map_is_one_local_database_with_four_shards() -> None:
    shards = read_shard_map(DEFAULT_MAP).shards
    assert [shard.name for shard in shards] == ["fashion", "home", "pantry", "media"]
    assert {shard.endpoint for shard in shards} == {"vectors.db"}
    assert all(shard.is_lite for shard in shards)


def test_reads_shards_with_defaults(tmp_path: Path) -> None:
    one, two = read(tmp_path, document()).shards
    assert (one.index.type, one.index.m, one.index.ef_construction, one.index.ef) == ("AUTO", 16, 200, 128)
    assert (one.is_lite, two.is_lite) == (False, True)


def test_moves_shards(tmp_path: Path) -> None:
    shards = read(tmp_path, document())
    assert [shard.endpoint for shard in shards.under(Path("/data")).shards] == [
        "http://milvus:19530",
        "/data/data/vectors.db",
    ]
    assert {shard.endpoint for shard in shards.at("http://other:1").shards} == {"http://other:1"}
    with pytest.raises(ValueError, match="neither http"):
        shards.at("other:1")


def test_credentials_are_not_shown(tmp_path: Path) -> None:
    content = document()
    content["shards"][0]["endpoint"] = "https://root:secret@milvus:19530"
    assert read(tmp_path, content).shards[0].address == "https://milvus:19530"


def changed(**changes: object) -> Document:
    content = document()
    content["shards"][0].update(changes)
    return content


WRONG: dict[str, tuple[object, str]] = {
    "category missing": (changed(categories=list(CATEGORIES[1:5])), r"category shoes is in no shard"),
    "category twice": (changed(categories=[*CATEGORIES[:5], CATEGORIES[10]]), r"category other is in 2 places"),
    "no category": (changed(categories=[*CATEGORIES[:5], "spaceships"]), r"spaceships is not a category"),
    "no categories": (changed(categories=[]), r"category shoes is in no shard; .*shard one has no categories"),
    "name twice": (changed(name="two"), r"2 shards are called two"),
    "bad name": (changed(name="Fa-shion"), r"shards\.0\.name"),
    "unknown key": (changed(indexx={}), r"shards\.0\.indexx"),
    "unknown index key": (changed(index={"kind": "HNSW"}), r"shards\.0\.index\.kind"),
    "unknown index type": (changed(index={"type": "IVF_PQ"}), r"shards\.0\.index\.type"),
    "bad ef": (changed(index={"ef": 0}), r"shards\.0\.index\.ef"),
    "bad endpoint": (changed(endpoint="milvus:19530"), r"'milvus:19530' is neither http"),
    "no host": (changed(endpoint="http://"), r"is neither http"),
    "no shards": ({"shards": []}, r"shards"),
    "a list": ([1, 2], r"not a shard map"),
    "nothing": (None, r"not a shard map"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_map_says_what_is_wrong(tmp_path: Path, name: str) -> None:
    content, message = WRONG[name]
    with pytest.raises(ShardMapError, match=message):
        read(tmp_path, content)


def test_a_file_that_is_missing_or_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(ShardMapError, match=r"no shard map at .*nowhere\.yaml"):
        read_shard_map(tmp_path / "nowhere.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("shards: [")
    with pytest.raises(ShardMapError, match="is not YAML"):
        read_shard_map(broken)
