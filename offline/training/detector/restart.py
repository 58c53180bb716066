"""Going on from a released file, when no checkpoint of its training is left."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from offline.training.detector.model import RetinaNet, Unit
from shiwu.inference.manifest import read_manifest

_PREFIX: Final = "net."
_FOLDED_BIAS: Final = "_bias"
"""What the exporter appends to a weight's name for the bias of the batch norm that it folded into the convolution."""


def load_released(net: RetinaNet, folder: Path, images: Tensor) -> list[str]:
    """Takes over the weights of the detector released in `folder`; names of those that it has no equals for.

    The pyramid's batch norms come folded. They are taken apart again such that the network computes the same with the
    statistics of `images`, uint8 (n, side, side, 3), as with the running ones; so training begins where it was left.
    A head of the other kind starts at random.
    """
    file = folder / read_manifest(folder).file
    given = {each.name: numpy_helper.to_array(each).copy() for each in onnx.load(file).graph.initializer}
    weights = {name: torch.from_numpy(value) for name, value in given.items() if name.startswith(_PREFIX)}
    state = net.state_dict()
    taken = {
        name: weights[_PREFIX + name]
        for name, value in state.items()
        if _PREFIX + name in weights and weights[_PREFIX + name].shape == value.shape
    }
    units = {name: unit for name, unit in net.named_modules() if isinstance(unit, Unit)}
    for name, unit in units.items():
        bias = weights.get(f"{_PREFIX}{name}.0.weight{_FOLDED_BIAS}")
        if bias is not None:
            taken |= {f"{name}.1.{part}": value for part, value in _norm_that_adds(bias, unit.norm).items()}
    net.load_state_dict(state | taken)
    _measure_statistics(net, [unit.norm for unit in units.values()], images)
    counters = {name for name in state if name.endswith("num_batches_tracked")}
    return sorted(state.keys() - taken.keys() - counters)


def _norm_that_adds(bias: Tensor, norm: nn.BatchNorm2d) -> dict[str, Tensor]:
    """The state of a batch norm that only adds `bias`."""
    return {
        "weight": torch.ones_like(bias),
        "bias": bias,
        "running_mean": torch.zeros_like(bias),
        "running_var": torch.full_like(bias, 1 - norm.eps),
    }


@torch.no_grad()
def _measure_statistics(net: RetinaNet, norms: list[nn.BatchNorm2d], images: Tensor) -> None:
    """Gives norms that only add the statistics of what they see, and weights that undo them."""
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def look(norm: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        seen[norm] = torch.var_mean(inputs[0], (0, 2, 3))

    hooks = [norm.register_forward_hook(look) for norm in norms]
    net.eval()(images)
    for hook in hooks:
        hook.remove()
    for norm in norms:
        variance, mean = seen[norm]
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean)
        norm.running_var, norm.running_mean = variance, mean
