"""A ready set for `shiwu canary`: simulated phone shots of the demo's products, and of those that the demo leaves out.

python -m evaluation.canary_set FOLDER
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from evaluation.demo import pixels
from evaluation.demo_catalogue import ABSENT, DemoProduct, fetch
from evaluation.phone_shots import shoot
from shiwu.cli.canary_set import MANIFEST

_CACHE = Path(".cache/demo")


def write(products: Sequence[DemoProduct], folder: Path, absent: Collection[str] = ABSENT) -> Path:
    """Writes a phone shot of each product, before the next one's picture out of focus, and the manifest.

    absent: keys of products that the catalogue does not have. Returns the manifest's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for i, product in enumerate(products):
        photo = f"{product.key}.jpg"
        background = products[(i + 1) % len(products)]
        (folder / photo).write_bytes(shoot(pixels(product.picture), pixels(background.picture), seed=i))
        expected = {"absent": True} if product.key in absent else {"product": product.key}
        lines.append(json.dumps({"photo": photo, **expected}) + "\n")
    manifest = folder / MANIFEST
    manifest.write_text("".join(lines), encoding="utf-8")
    return manifest


if __name__ == "__main__":
    print(write(fetch(_CACHE), Path(sys.argv[1])))
