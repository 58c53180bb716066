"""A shop of coloured squares: six products in photos and merchant's pictures, and some single pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from offline.training.items import Item
from offline.training.metric.config import Experiment, ImageSet
from offline.training.metric.loaders import load_sets

TINY: dict[str, Any] = {
    "name": "tiny",
    "data": {"sets": [{"name": "shop"}], "held_out": {"shop": 0.3}, "size": 32, "validation": 0.2},
    "batches": {"products": 4, "views": 2},
    "model": {"pretrained": False, "dimension": 16, "frozen_stages": 2},
    "optimisation": {"steps": 4, "validate_every": 2, "warmup": 1, "accelerator": "cpu"},
}


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Nets this small are slower on several threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def experiment(**changes: dict[str, Any] | None) -> Experiment:
    """The tiny experiment with some keys of its parts changed."""
    merged = {**TINY, **{k: {**TINY.get(k, {}), **v} if isinstance(v, dict) else v for k, v in changes.items()}}
    return Experiment.model_validate(merged)


def write_shop(data: Path) -> None:
    folder = data / "shop"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for product in range(8):
        single = product >= 6
        colour = rng.integers(0, 256, 3)
        for view in range(1 if single else 5):
            pixels = np.clip(colour + rng.integers(-20, 20, (24, 24, 3)), 0, 255).astype(np.uint8)
            name = f"{product}-{view}.png"
            cv2.imwrite(str(folder / name), pixels)
            rows.append(
                {
                    "image": name,
                    "role": "merchant" if view < 2 else "photo",
                    "product_id": None if single else f"p{product}",
                    "style_id": None if single else f"s{product}",
                    "category": ["food", "toys"][product % 2],
                    "label": None,
                    "title": None,
                    "price": None,
                    "currency": None,
                    "split": "train",
                    "boxes": None,
                    "attributes": {"colour": ["red", "green"][product // 3 % 2]},
                }
            )
    (folder / "items.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


@pytest.fixture(scope="session")
def items(tmp_path_factory: pytest.TempPathFactory) -> tuple[Item, ...]:
    data = tmp_path_factory.mktemp("data")
    write_shop(data)
    return load_sets(data, [ImageSet(name="shop")])
