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


def address(endpoint: str) -> str:
    """An endpoint without credentials."""
    parts = urlsplit(endpoint)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


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
    categories: tuple[str, ...]
    """Empty only while they are moved to it or from it."""
    endpoint: str
    """http(s)://host:port of a Milvus server, or path of a Milvus Lite database, which ends in .db."""
    second: str | None = None
    """Another way to the same Milvus server, for the second attempts of hedged searches; unset: a connection of its
    own to `endpoint`, which a load balancer may lead to another proxy."""
    replicas: PositiveInt = 1
    """Of collections made from now on, in a Milvus cluster: how many query nodes hold each vector."""
    channels: PositiveInt = Field(1, le=16)
    """Of collections made from now on, in a Milvus server: log channels, over which its query nodes share the work
    (Milvus calls them shards)."""
    index: IndexParameters = IndexParameters()

    @field_validator("endpoint", "second")
    @classmethod
    def _is_an_endpoint(cls, endpoint: str | None) -> str | None:
        if endpoint is None:
            return None
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
        return address(self.endpoint)


class Move(_Frozen):
    """A category on its way from one shard to another. See docs/decisions/0022-shards-move-by-phases.md."""

    category: str
    source: str
    """The shard that it leaves; listed there until the phase is "switched"."""
    target: str
    """The shard that it is moved to; listed there from the phase "switched" on."""
    phase: Literal["announced", "copying", "switched", "clearing"] = "announced"
    """announced: written to the source only, and searched there; deletes reach both, as in every phase.
    copying: written to both, searched in the source. switched: written to both, searched in the target.
    clearing: written to the target only; what the source still has is deleted."""

    @property
    def home(self) -> str:
        """Where it is searched."""
        return self.source if self.phase in ("announced", "copying") else self.target

    @property
    def places(self) -> tuple[str, ...]:
        """Where it is written, first where it is searched."""
        return {
            "announced": (self.source,),
            "copying": (self.source, self.target),
            "switched": (self.target, self.source),
            "clearing": (self.target,),
        }[self.phase]


class ShardMap(_Frozen):
    """All shards; every category is in exactly one."""

    shards: tuple[Shard, ...] = Field(min_length=1)
    moves: tuple[Move, ...] = ()
    """What is being moved, each category once."""

    @model_validator(mode="after")
    def _covers_every_category_once(self) -> ShardMap:
        placed = Counter(category for shard in self.shards for category in shard.categories)
        problems = [f"{each} is not a category" for each in placed if each not in CATEGORIES]
        problems += [f"category {each} is in no shard" for each in CATEGORIES if each not in placed]
        problems += [f"category {each} is in {times} places" for each, times in placed.items() if times > 1]
        names = Counter(shard.name for shard in self.shards)
        problems += [f"{times} shards are called {each}" for each, times in names.items() if times > 1]
        homes = {category: shard.name for shard in self.shards for category in shard.categories}
        for move in self.moves:
            problems += [f"{each}, of the move of {move.category}, is no shard" for each in (move.source, move.target)
                         if each not in names]  # fmt: skip
            if move.source == move.target:
                problems.append(f"{move.category} is moved from {move.source} to itself")
            if homes.get(move.category) != move.home:
                problems.append(f"{move.category}, whose move is {move.phase}, is to be listed in {move.home}")
        moved = Counter(move.category for move in self.moves)
        problems += [f"{each} is moved {times} times at once" for each, times in moved.items() if times > 1]
        moving = {name for move in self.moves for name in (move.source, move.target)}
        problems += [f"shard {each.name} has no categories" for each in self.shards
                     if not each.categories and each.name not in moving]  # fmt: skip
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def at(self, endpoint: str) -> ShardMap:
        """The same map with every shard at one endpoint. Raises ValueError if it is none."""
        return self._with([shard.model_dump() | {"endpoint": endpoint, "second": None} for shard in self.shards])

    def under(self, home: Path) -> ShardMap:
        """The same map with the relative paths of Milvus Lite databases made to start from a folder."""
        return self._with(
            [
                shard.model_dump() | ({"endpoint": str(home / shard.endpoint)} if shard.is_lite else {})
                for shard in self.shards
            ]
        )

    def _with(self, shards: list[dict[str, object]]) -> ShardMap:
        return ShardMap.model_validate({"shards": shards, "moves": [move.model_dump() for move in self.moves]})


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
