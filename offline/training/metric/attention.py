"""Spatial and channel attention."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Kind = Literal["none", "spatial", "channel", "both"]
_REDUCTION = 16


def attention(kind: Kind, channels: int) -> nn.Module:
    """Recalibrates feature maps (b, channels, h, w); at the start it changes nothing.

    Roy, Navab & Wachinger, Concurrent Spatial and Channel Squeeze & Excitation, MICCAI 2018: cSE, sSE and their sum
    scSE. A gate starts at one half; a lone gate counts twice, so that ImageNet's features reach the layers after it
    as they were.
    """
    match kind:
        case "none":
            return nn.Identity()
        case "spatial":
            return _Gates([_Spatial(channels)])
        case "channel":
            return _Gates([_Channel(channels)])
        case "both":
            return _Gates([_Spatial(channels), _Channel(channels)])


class _Gates(nn.Module):
    def __init__(self, gates: list[nn.Module]) -> None:
        super().__init__()
        self.gates = nn.ModuleList(gates)

    def forward(self, x: Tensor) -> Tensor:
        share = 2 / len(self.gates)
        gate: Tensor = sum(share * torch.sigmoid(gate(x)) for gate in self.gates)  # type: ignore[assignment]
        return x * gate


class _Spatial(nn.Conv2d):
    """One weight a place, (b, 1, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 1, 1)
        nn.init.zeros_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


class _Channel(nn.Sequential):
    """One weight a channel, (b, channels, 1, 1)."""

    def __init__(self, channels: int) -> None:
        inner = max(8, channels // _REDUCTION)
        last = nn.Conv2d(inner, channels, 1)
        nn.init.zeros_(last.weight)
        if last.bias is not None:
            nn.init.zeros_(last.bias)
        super().__init__(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, inner, 1), nn.ReLU(), last)
