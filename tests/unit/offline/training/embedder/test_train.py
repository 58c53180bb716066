from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch

from offline.training.backbone import Backbone
from offline.training.embedder.model import build
from offline.training.embedder.pictures import Picture
from offline.training.embedder.pool import Pool, build_pool
from offline.training.embedder.sampling import Batches
from offline.training.embedder.sources import Group, Source
from offline.training.embedder.train import Recipe, blended, train
from offline.training.release import fold_batch_norms

_SIZE = 64
_RECIPE = Recipe(cycles=(1, 1), warmup=1, memory=64)


def _sources() -> list[Source]:
    rng = np.random.default_rng(0)
    groups: tuple[Group, ...] = ("grocery", "magento", "magento", "ycb", "single", "single")
    return [
        Source(
            Picture(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8), None),
            group,
            f"product {i}",
            f"style {i // 2}",
            (("shop", 2), ("phone", 2)),
        )
        for i, group in enumerate(groups)
    ]


def _pool(folder: Path, workers: int = 0, seed: int = 0) -> Pool:
    torch.manual_seed(0)
    embedder = build(Backbone())
    return build_pool(_sources(), [np.zeros((9, 9, 3), np.uint8)], embedder, _SIZE, seed, folder, workers)


def test_pool_holds_every_view_and_is_opened_again(tmp_path: Path) -> None:
    pool = _pool(tmp_path)
    assert pool.c4.shape == (24, 4, 4, 112)
    assert pool.c3.shape == (24, 2, 2, 40)
    assert pool.clean.sum() == 12
    stamp = (tmp_path / "c4.npy").stat().st_mtime_ns
    _pool(tmp_path)
    assert (tmp_path / "c4.npy").stat().st_mtime_ns == stamp
    _pool(tmp_path, seed=1)
    assert (tmp_path / "c4.npy").stat().st_mtime_ns != stamp


def test_views_do_not_depend_on_who_makes_them(tmp_path: Path) -> None:
    alone, helped = _pool(tmp_path / "a"), _pool(tmp_path / "b", workers=1)
    np.testing.assert_array_equal(alone.c4, helped.c4)


def test_batches_show_every_product_clean_and_seen(tmp_path: Path) -> None:
    pool = _pool(tmp_path)
    batch = next(iter(Batches(pool, seed=0)))
    assert len(set(batch.tolist())) == len(batch)
    for product in range(6):
        shown = batch[pool.product[batch] == product]
        assert {bool(clean) for clean in pool.clean[shown]} == {False, True}


def test_training_resumes_where_it_was_cut(tmp_path: Path) -> None:
    pool = _pool(tmp_path)
    crown = build(Backbone()).crown
    checkpoint = tmp_path / "checkpoint.pt"
    train(crown, pool, _RECIPE, checkpoint, save_every=1)
    done = torch.load(checkpoint, weights_only=True)
    assert done["step"] == 2
    again = build(Backbone()).crown
    train(again, pool, _RECIPE, checkpoint)
    assert all(torch.equal(a, b) for a, b in zip(crown.state_dict().values(), again.state_dict().values(), strict=True))
    train(again, pool, dataclasses.replace(_RECIPE, cycles=(1,)), checkpoint)
    assert torch.load(checkpoint, weights_only=True)["step"] == 1


def test_folding_batch_norms_changes_nothing() -> None:
    torch.manual_seed(0)
    backbone = Backbone().eval()
    for module in backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    x = torch.rand(1, 3, 32, 32)
    with torch.inference_mode():
        before = backbone(x)
        fold_batch_norms(backbone)
        torch.testing.assert_close(backbone(x), before, atol=1e-4, rtol=1e-4)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in backbone.modules())


def test_blending_lies_between() -> None:
    before, after = {"w": torch.zeros(2)}, {"w": torch.ones(2)}
    assert blended(before, after, 0.25)["w"].tolist() == [0.25, 0.25]
