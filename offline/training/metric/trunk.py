"""Backbones as a few stages, so that attention stands between them and cascades branch off them."""

from __future__ import annotations

import importlib
from typing import Any, get_args

from torch import Tensor, nn

from offline.training.backbone import LAST_CHANNELS, Backbone, Variant, imagenet_backbone
from offline.training.metric.config import ExperimentError
from offline.training.release import fold_batch_norms

_TIMM = "timm:"


class Trunk(nn.Module):
    """Stages in the order in which an image passes them, and the channels that each gives.

    Batch norms keep ImageNet's statistics, because batches mix domains; lite's are therefore folded into the
    convolutions, which makes a step on a CPU far cheaper.
    """

    def __init__(self, stages: list[nn.Module], channels: tuple[int, ...], frozen: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.channels = channels
        self.frozen = frozen
        for i, stage in enumerate(stages):
            stage.requires_grad_(i >= frozen)

    def train(self, mode: bool = True) -> Trunk:
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self


def build_trunk(name: str, *, pretrained: bool, frozen: int) -> Trunk:
    """lite0, lite1 or lite2 in three stages (strides 8, 16 and 32), or `timm:NAME` as one.

    Raises ExperimentError for a name that does not exist, or more frozen stages than leave something to train.
    """
    if name.startswith(_TIMM):
        stages, channels = _timm(name.removeprefix(_TIMM), pretrained)
    elif name in get_args(Variant):
        stages, channels = _lite(name, pretrained)  # type: ignore[arg-type]
    else:
        msg = f"no backbone {name}; there are {', '.join(get_args(Variant))} and {_TIMM}NAME"
        raise ExperimentError(msg)
    if frozen >= len(stages):
        msg = f"{name} has {len(stages)} stages; {frozen} frozen ones leave nothing to train"
        raise ExperimentError(msg)
    return Trunk(stages, channels, frozen)


def _lite(variant: Variant, pretrained: bool) -> tuple[list[nn.Module], tuple[int, ...]]:
    backbone = imagenet_backbone(variant) if pretrained else Backbone(variant)
    fold_batch_norms(backbone.eval())
    first, second, _ = backbone.pyramid_ends
    blocks = list(backbone.blocks)
    stages: list[nn.Module] = [
        nn.Sequential(backbone.stem, *blocks[:first]),
        nn.Sequential(*blocks[first:second]),
        nn.Sequential(*blocks[second:], backbone.head),
    ]
    return stages, (*backbone.pyramid_channels[:2], LAST_CHANNELS)


class _Timm(nn.Module):
    """A timm network's last feature map."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.network.forward_features(x)
        return features


def _timm(name: str, pretrained: bool) -> tuple[list[nn.Module], tuple[int, ...]]:
    try:
        timm = importlib.import_module("timm")
        network = timm.create_model(name, pretrained=pretrained, num_classes=0)
    except ImportError as error:
        msg = f"{_TIMM}{name} needs timm, which is not installed"
        raise ExperimentError(msg) from error
    except RuntimeError as error:
        msg = f"timm has no {name}: {error}"
        raise ExperimentError(msg) from error
    return [_Timm(network)], (int(network.num_features),)
