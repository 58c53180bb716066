"""Erasing parts of training images, so that the network looks at more than one salient place."""

from __future__ import annotations

import kornia.augmentation as K  # noqa: N812  as kornia's own documentation calls it
import torch
from torch import Tensor
from torch.nn import functional

_GRAY = 0.5
_CELLS = 4
_HIDDEN = 0.3
_STRONG = 0.7


def erase_randomly(images: Tensor, chance: float) -> Tensor:
    """One rectangle of 2 to 33 % of an image (Zhong et al., Random Erasing, AAAI 2020), in gray.

    images: (n, 3, h, w) in 0..1, as in the other functions here. chance: of an image to be erased at all.
    """
    erased: Tensor = K.RandomErasing(value=_GRAY, p=chance)(images)
    return erased


def erase_cells(images: Tensor, chance: float) -> Tensor:
    """Each cell of a 4 x 4 grid with a probability of 0.3 (Singh & Lee, Hide-and-Seek, ICCV 2017)."""
    hidden = torch.rand(len(images), 1, _CELLS, _CELLS, device=images.device) < _HIDDEN
    return _grayed(images, functional.interpolate(hidden.float(), images.shape[2:]), chance)


def erase_salient(images: Tensor, chance: float, activation: Tensor) -> Tensor:
    """Where the class activation is at least 0.7 of its maximum (Wei et al., Adversarial Erasing, CVPR 2017).

    activation: (n, h', w'), where the network sees the right class; smaller than the images.
    """
    maps = activation[:, None]
    strong = maps >= _STRONG * maps.amax(dim=(2, 3), keepdim=True)
    return _grayed(images, functional.interpolate(strong.float(), images.shape[2:]), chance)


def _grayed(images: Tensor, mask: Tensor, chance: float) -> Tensor:
    chosen = torch.rand(len(images), 1, 1, 1, device=images.device) < chance
    return torch.where((mask > 0.5) & chosen, _GRAY, images)
