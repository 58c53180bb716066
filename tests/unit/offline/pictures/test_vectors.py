"""Pictures to vectors, with small detectors and embedders behind real gRPC; what is known is not made again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from evaluation.postgres_server import running_postgres
from offline.pictures.known_vectors import Key, Known, KnownVectors
from offline.pictures.sources import Row
from offline.pictures.vectors import Peers, embed, vectors_of
from shiwu.chassis.errors import UnavailableError
from shiwu.chassis.settings import ClientSettings
from shiwu.vision.local_features import VERSION
from shiwu.wire.fetching import FetchSettings
from tests.unit.catalog_import import peers as small
from tests.unit.catalog_import.conftest import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop")


@pytest.fixture
async def running():
    async with small.serving() as peers:
        yield peers


@pytest.fixture
def asked(running, tmp_path: Path) -> Peers:
    detector, embedder = (ClientSettings(target=running.targets[name]) for name in ("detector", "embedder"))
    return Peers(detector, embedder, FetchSettings(), f"sqlite:///{tmp_path}/vectors.sqlite")


def row(shop: Shop, name: str, category: str = "shoes") -> Row:
    return Row(name, str(shop.folder / name), f"product of {name}", category)


async def test_no_picture_is_embedded_twice(shop: Shop, running: small.Peers, asked: Peers) -> None:
    for seed in range(40):
        shop.picture(f"{seed}.png", seed)
    rows = [row(shop, f"{seed}.png") for seed in range(40)]
    first = await asyncio.to_thread(embed, rows, asked)
    assert first["problem"].to_pylist() == [""] * 40
    assert running.embedder.switch.calls["Embed"] == 40
    assert len(np.unique(vectors_of(first), axis=0)) == 40

    shop.picture("renamed.png", 7)
    shop.picture("new.png", 99)
    more = [row(shop, name) for name in ("renamed.png", "new.png", "8.png", "8.png")]
    second = await asyncio.to_thread(embed, more, asked)
    assert running.embedder.switch.calls["Embed"] == 41
    assert running.detector.switch.calls["Detect"] == 41
    assert second["image_id"].to_pylist() == ["renamed.png", "new.png", "8.png", "8.png"]
    assert (vectors_of(second)[[0, 2, 3]] == vectors_of(first)[[7, 8, 8]]).all()
    for name in ("sha256", "width", "height", "seen", "seen_score", "model", "local_features"):
        assert second[name][0] == first[name][7]


async def test_another_category_or_version_is_made_anew(shop: Shop, running: small.Peers, asked: Peers) -> None:
    shop.picture("a.png", 1)
    for category, version in (("shoes", 1), ("lamps", 1), ("bags", 1), ("bags", 2)):
        running.embedder.version = version
        table = await asyncio.to_thread(embed, [row(shop, "a.png", category)], asked)
        assert table["model"].to_pylist() == [f"{'bags' if category == 'bags' else 'general'}@{version}"]
    assert running.embedder.switch.calls["Embed"] == 4


async def test_what_cannot_be_read_is_told_each_time(shop: Shop, running: small.Peers, asked: Peers) -> None:
    shop.picture("good.png", 1)
    (shop.folder / "bad.png").write_bytes(b"no picture")
    for _ in range(2):
        table = await asyncio.to_thread(embed, [row(shop, name) for name in ("bad.png", "gone.png", "good.png")], asked)
        bad, gone, good = table["problem"].to_pylist()
        assert bad
        assert "cannot be read" in gone
        assert good == ""
        assert table["vector"].to_pylist()[:2] == [None, None]
    assert running.embedder.switch.calls["Embed"] == 1


async def test_without_the_embedder_nothing_is_known(shop: Shop, running: small.Peers, asked: Peers) -> None:
    shop.picture("a.png", 1)
    running.embedder.switch.down = True
    with pytest.raises(UnavailableError, match="embedder"):
        await asyncio.to_thread(embed, [row(shop, "a.png")], asked)
    running.embedder.switch.down = False
    assert (await asyncio.to_thread(embed, [row(shop, "a.png")], asked))["problem"].to_pylist() == [""]


def test_what_is_known_with_features_of_another_release_is_made_again_on_postgresql() -> None:
    key, known = Key("0" * 64, "shoes", "general@1"), Known(3, 2, "shoes", 0.5, b"\0\0\x80?", VERSION)
    with running_postgres() as server, KnownVectors(server.create_database()) as vectors:
        vectors.add({})
        vectors.add({key: known._replace(local_features=b"\1")})
        assert vectors.find([key]) == {}
        vectors.add({key: known, key._replace(model="general@2"): known})
        other = key._replace(category="bags")
        assert vectors.find([key, other]) == {key: known}
