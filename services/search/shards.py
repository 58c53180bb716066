"""The shard map: which categories live in which shard, where, and how they are indexed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, field_validator, model_validator

from shiwu.categories import CATEGORIES

DEFAULT_MAP = Path(__file__).with_name("shards.yaml")


class ShardMapError(ValueError):
    """A shard map is missing, malformed, or does not put every category into exactly one shard."""


def is_lite(endpoint: str) -> bool:
    """Whether an endpoint is a path of a Milvus Lite database rather than a server's address."""
    return endpoint.endswith(".db")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class IndexParameters(_Frozen):
    """How a shard's vectors are indexed. Changing these affects only collections made afterwards, except `ef`."""

    type: Literal["AUTO", "FLAT", "HNSW"] = "AUTO"
    """FLAT compares with every vector: exact, slow from about 20,000 pictures a shard on. AUTO: HNSW on a Milvus
    server, FLAT in Milvus Lite."""
    m: PositiveInt = Field(16, ge=4, le=64)
    """HNSW: links of a node."""
    ef_construction: PositiveInt = Field(200, ge=8, le=512)
    """HNSW: candidates looked at when a node is added."""
    ef: PositiveInt = Field(128, ge=1, le=32_768)
    """HNSW: candidates looked at by a search; as many as the hits asked for, if those are more."""


class Shard(_Frozen):
    """One shard."""

    name: str = Field(pattern=r"^[a-z][a-z0-9]{0,31}$")
    categories: tuple[str, ...] = Field(min_length=1)
    endpoint: str
    """http(s)://host:port of a Milvus server, or path of a Milvus Lite database, which ends in .db."""
    index: IndexParameters = IndexParameters()

    @field_validator("endpoint")
    @classmethod
    def _is_an_endpoint(cls, endpoint: str) -> str:
        is_server = urlsplit(endpoint).scheme in ("http", "https") and urlsplit(endpoint).hostname
        if not is_server and not (is_lite(endpoint) and "://" not in endpoint):
            msg = f"{endpoint!r} is neither http(s)://host:port nor a path that ends in .db"
            raise ValueError(msg)
        return endpoint

    @property
    def is_lite(self) -> bool:
        """Whether the shard is in Milvus Lite, inside this process."""
        return is_lite(self.endpoint)

    @property
    def address(self) -> str:
        """The endpoint as people may see it: without credentials."""
        parts = urlsplit(self.endpoint)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


class ShardMap(_Frozen):
    """All shards; every category is in exactly one."""

    shards: tuple[Shard, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _covers_every_category_once(self) -> ShardMap:
        placed = Counter(category for shard in self.shards for category in shard.categories)
        problems = [f"{each} is not a category" for each in placed if each not in CATEGORIES]
        problems += [f"category {each} is in no shard" for each in CATEGORIES if each not in placed]
        problems += [f"category {each} is in {times} places" for each, times in placed.items() if times > 1]
        names = Counter(shard.name for shard in self.shards)
        problems += [f"{times} shards are called {each}" for each, times in names.items() if times > 1]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def at(self, endpoint: str) -> ShardMap:
        """The same map with every shard at one endpoint. Raises ValueError if it is none."""
        return self._with([shard.model_dump() | {"endpoint": endpoint} for shard in self.shards])

    def under(self, home: Path) -> ShardMap:
        """The same map with the relative paths of Milvus Lite databases made to start from a folder."""
        return self._with(
            [
                shard.model_dump() | ({"endpoint": str(home / shard.endpoint)} if shard.is_lite else {})
                for shard in self.shards
            ]
        )

    def _with(self, shards: list[dict[str, object]]) -> ShardMap:
        return ShardMap.model_validate({"shards": shards})


def read_shard_map(path: Path) -> ShardMap:
    """The shard map in a YAML file. Raises ShardMapError, which says what is wrong and where."""
    try:
        return ShardMap.model_validate(yaml.safe_load(path.read_bytes()))
    except OSError as error:
        msg = f"no shard map at {path}: {error.strerror}"
        raise ShardMapError(msg) from error
    except yaml.YAMLError as error:
        msg = f"{path} is not YAML: {error}"
        raise ShardMapError(msg) from error
    except ValidationError as error:
        msg = f"{path} is not a shard map: {error}"
        raise ShardMapError(msg) from error
