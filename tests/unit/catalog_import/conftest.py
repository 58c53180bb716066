"""A shop with pictures, a fresh database and running peers."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from services.catalog.import_settings import ImportSettings
from services.catalog.sql.database import Database
from services.catalog.sql.migrating import migrate
from tests.unit.catalog_import.assembly import Catalogue, assembled
from tests.unit.catalog_import.peers import Peers, serving


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "catalog.db"

    async def run() -> None:
        database = Database(f"sqlite+aiosqlite:///{path}")
        await migrate(database)
        await database.close()

    asyncio.run(run())
    return path


@pytest.fixture
def url(migrated: Path, tmp_path: Path) -> str:
    shutil.copy(migrated, tmp_path / "catalog.db")
    return f"sqlite+aiosqlite:///{tmp_path}/catalog.db"


@pytest.fixture
async def peers() -> AsyncIterator[Peers]:
    async with serving() as running:
        yield running


@pytest.fixture
def lease_seconds() -> float:
    """Longer than any pause of the machine; tests that wait for a lease to run out have a shorter one."""
    return 15.0


@pytest.fixture
def settings(tmp_path: Path, lease_seconds: float) -> ImportSettings:
    return ImportSettings(
        roots=(tmp_path / "shop",),
        errors=tmp_path / "errors",
        batch_rows=4,
        lease_seconds=lease_seconds,
        retry_seconds=0.2,
    )


@pytest.fixture
async def catalogue(url: str, peers: Peers, settings: ImportSettings) -> AsyncIterator[Catalogue]:
    async with assembled(url, peers.targets, settings) as put_together:
        yield put_together


class Shop:
    """A folder with a feed and its pictures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def picture(self, name: str, seed: int) -> str:
        """A white picture with a patch of noise, different for each seed."""
        pixels = np.full((120, 160, 3), 255, np.uint8)
        noise = np.random.default_rng(seed).integers(0, 200, (4, 4, 3), np.uint8)
        pixels[30:90, 40:120] = cv2.resize(noise, (80, 60), interpolation=cv2.INTER_NEAREST)
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), pixels[:, :, ::-1])
        return name

    def feed(
        self, *rows: str, header: str = "product_id,title,category,merchant,price,images", name: str = "feed.csv"
    ) -> str:
        path = self.folder / name
        path.write_text("\n".join((header, *rows)) + "\n")
        return str(path)

    def simple(self, count: int, **options: str) -> str:
        """A feed of so many products with a picture each."""
        rows = [f"p{n},Product {n},shoes,M,{n + 1} USD,{self.picture(f'{n}.png', n)}" for n in range(count)]
        return self.feed(*rows, **options)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "shop")
