"""Making torch quick on one CPU thread."""

from __future__ import annotations

import ctypes
from typing import Final

import torch
from torch import nn

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def keep_memory() -> None:
    """Tells glibc to keep freed memory instead of giving it back to the system; elsewhere it does nothing.

    Feature maps are some MB each: by default glibc maps and unmaps every one of them, and the page faults take
    longer than the convolutions (measured on EfficientNet-lite0: half of the time).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, -1)


def channels_last(module: nn.Module) -> None:
    """Lays the weights of convolutions out as the faster CPU kernels want them, in place; values do not change."""
    for parameter in module.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def bfloat16() -> torch.autocast:
    """Computes in bfloat16 where the processor can; emulated it would take twenty times as long."""
    return torch.autocast("cpu", torch.bfloat16, enabled=torch.ops.mkldnn._is_mkldnn_bf16_supported())  # noqa: SLF001
