"""Making the backbone quick to train on a CPU, without changing what it computes."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norm(module: nn.Module) -> None:
    """Merges every batch norm of `module` into the convolution before it, in place.

    The statistics stay ImageNet's for good (batches are small), so the two are one linear map; separate they cost
    a third of the training time. The merged convolutions are trainable.
    """
    for parent in list(module.modules()):
        if not isinstance(parent, nn.Sequential):
            continue
        children = list(parent.named_children())
        for (name, conv), (norm_name, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                fused = fuse_conv_bn_eval(conv.eval(), norm.eval())
                merged = _Depthwise(fused) if fused.groups > 1 else fused
                parent.register_module(name, merged.requires_grad_(True))
                parent.register_module(norm_name, nn.Identity())


class _Depthwise(nn.Module):
    """A depthwise convolution that always computes in float32.

    In bfloat16 its backward pass takes three times as long (oneDNN, measured), which eats all that autocast gains.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            y: Tensor = self.conv(x.float())
        return y
