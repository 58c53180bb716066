"""Random views of a batch's pictures: as a shop shows them, and as a phone sees them."""

from __future__ import annotations

from typing import Any

import kornia.augmentation as K  # noqa: N812  as kornia's own documentation calls it
import torch
from torch import Tensor, nn

from offline.training.metric.config import Augmentation
from offline.training.metric.pictures import on_white


class Views(nn.Module):
    """uint8 pixels (n, s, s, 4) to images (n, 3, s, s) in 0..1.

    Every view is a crop. Query views are also turned (`turn`) and, with `phone` above 0, made to look like phone
    shots: seen at an angle, over clutter, with a colour cast, uneven light, glare, blur and JPEG, each more often
    and stronger the nearer `phone` is to 1. The colour cast stays small: colour tells products apart, and cameras
    balance white. Needs sides that are multiples of 16 (JPEG's blocks). It draws from torch's global generator.
    """

    def __init__(self, how: Augmentation, size: int) -> None:
        super().__init__()
        self._phone = how.phone
        strength = how.phone
        self.crop = K.RandomResizedCrop((size, size), scale=(how.crop, 1.0), ratio=(0.8, 1.25))
        self.turn = K.RandomRotation90((1, 3), p=how.turn)
        self.pose = _chain(
            K.RandomPerspective(0.4 * strength, p=0.7),
            K.RandomAffine(12 * strength, scale=(1 - 0.25 * strength, 1.1), p=0.7),
        )
        self.light = _chain(
            K.RandomGamma((1 - 0.3 * strength, 1 + 0.4 * strength), p=0.7),
            K.RandomBrightness((1 - 0.25 * strength, 1 + 0.2 * strength), p=0.7),
            K.RandomRGBShift(*(0.06 * strength,) * 3, p=0.7),
            K.RandomLinearIllumination((0.01, 0.05 + 0.2 * strength), p=0.4 * strength),
            K.RandomGaussianIllumination(
                (0.05, 0.1 + 0.5 * strength), sigma=(0.1, 0.3), sign=(1.0, 1.0), p=0.25 * strength
            ),
        )
        self.camera = _chain(
            K.RandomGaussianBlur((5, 5), (0.4, 0.4 + 1.2 * strength), p=0.3 * strength),
            K.RandomMotionBlur((3, 7), 90.0, 0.5, p=0.2 * strength),
            K.RandomJPEG((30.0, 85.0), p=0.5 * strength),
        )

    @torch.no_grad()
    def forward(self, pixels: Tensor, query: Tensor) -> Tensor:
        x = self.crop(pixels.permute(0, 3, 1, 2).float() / 255)
        ground = torch.ones_like(x[:, :3])
        rows = query.nonzero().squeeze(1)
        if len(rows):
            seen = self.turn(x[rows])
            if self._phone:
                seen = self.pose(seen)
                # Another picture of the batch is as good a mess as any; half a batch away it shows another product.
                clutter = on_white(pixels[rows].roll(len(rows) // 2, dims=0))
                messy = torch.rand(len(rows), 1, 1, 1, device=x.device) < self._phone
                ground[rows] = torch.where(messy, clutter, ground[rows])
            x[rows] = seen
        images: Tensor = x[:, :3] * x[:, 3:] + ground * (1 - x[:, 3:])
        if self._phone and len(rows):
            images[rows] = self.camera(self.light(images[rows]).clamp(0, 1)).clamp(0, 1)
        return images


def _chain(*steps: Any) -> nn.Sequential:
    return nn.Sequential(*steps)
