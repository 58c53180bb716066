"""The released embedder: what was trained, what ImageNet knows, and plain colour, side by side.

Training tells products apart, and draws photos of unseen ones towards those it was taught; ImageNet's own features of
another backbone are drawn to none, but hardly know colour. Their similarities add up, each weighed. Neither of the two
that stand beside the trained one learns from labels: they are fitted to pictures alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from offline.training.backbone import LAST_CHANNELS, Backbone, normalise
from offline.training.embedder.model import TRAINED_DIMENSION, Embedder, start_as_pca

IMAGENET_DIMENSION: Final = 160
COLOURS: Final = 96
DIMENSION: Final = TRAINED_DIMENSION + IMAGENET_DIMENSION + COLOURS

IMAGENET_WEIGHT: Final = 0.7
COLOUR_WEIGHT: Final = 0.55
"""Lengths of these parts beside the trained one's 1. More of the first costs colourways, more of the second styles."""
WHITENING: Final = 0.3
"""How far the trained part's directions are made alike, 0 to 1: what products that training knew differ in most is not
what others differ in (Jegou & Chum, Negative evidences and co-occurences in image retrieval, ECCV 2012)."""

_CELL: Final = 4
"""Pixels of a square that has one colour, across and down."""
_SPREAD: Final = 100.0
"""Squared distance in CIELAB within which a colour counts for a centre's neighbours, too."""
_WHITE_SPREAD: Final = 144.0
_SAMPLES: Final = 40
"""Colours of a picture from which centres are made."""
_BATCH: Final = 16
_GAMMA: Final = 2.2
# Linear sRGB to CIE XYZ under D65, as shares of white (IEC 61966-2-1).
_XYZ: Final = (
    (0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883),
)
_LAB: Final = ((0.0, 116.0, 0.0), (500.0, -500.0, 0.0), (0.0, 200.0, -200.0))

Squares = NDArray[np.uint8]
"""Pictures as the model reads them, (n, size, size, 3)."""


class ImageNetPart(nn.Module):
    """Normalised images (b, 3, s, s) to unit vectors (b, 160): ImageNet's last features, partly whitened."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection = nn.Linear(LAST_CHANNELS, IMAGENET_DIMENSION)

    def describe(self, x: Tensor) -> Tensor:
        return self.backbone(x).mean(dim=(2, 3))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        return functional.normalize(self.projection(self.describe(x)), dim=1)


class ColourPart(nn.Module):
    """Which colours a product has: normalised images (b, 3, s, s) and attention (b, 1, s/32, s/32) to vectors (b, 96).

    Each square of 4 x 4 pixels belongs to the nearest centres in CIELAB, softly; white and the filling of a letterbox
    count for nothing, what is attended to for more. Roots of such histograms compare by their dot product (Arandjelovic
    & Zisserman, Three things everyone should know to improve object retrieval, CVPR 2012).
    """

    usual: Tensor

    def __init__(self, fill: int) -> None:
        super().__init__()
        self._fill = fill
        # Linear layers with weights that are known, since every format of export can do them.
        self.to_xyz = _fixed(torch.tensor(_XYZ), torch.zeros(3))
        self.to_lab = _fixed(torch.tensor(_LAB), torch.tensor([-16.0, 0.0, 0.0]))
        self.nearness = nn.Linear(3, COLOURS)
        self.register_buffer("usual", torch.zeros(COLOURS))

    def forward(self, x: Tensor, attention: Tensor) -> Tensor:
        lab, weights = self.colours(x, attention)
        histogram = (weights @ self.nearness(lab).softmax(dim=2)).squeeze(1)
        return functional.normalize((histogram.clamp(min=0) + 1e-6).sqrt() - self.usual, dim=1)

    def colours(self, x: Tensor, attention: Tensor) -> tuple[Tensor, Tensor]:
        """The squares' colours in CIELAB, near enough, (b, n, 3), and how much each counts, (b, 1, n), 1 in all."""
        rgb = functional.avg_pool2d((x + 1) / 2, _CELL).flatten(2).transpose(1, 2)
        lab = self.to_lab(self.to_xyz(rgb.clamp(min=1e-4) ** _GAMMA).clamp(min=1e-4) ** (1 / 3))
        filled = functional.relu(1 - (255 * rgb - self._fill).abs().sum(dim=2))
        white = (-((lab - torch.tensor([100.0, 0.0, 0.0])) ** 2).sum(dim=2) / _WHITE_SPREAD).exp()
        looked_at = functional.interpolate(attention, scale_factor=32 // _CELL, mode="bilinear").flatten(2)
        counted = functional.relu(1 - filled) * functional.relu(1 - white)
        # All of a blank picture counts alike. A smaller number would be taken for none when the graph is exported.
        weights = looked_at * counted.unsqueeze(1) + 1e-6
        return lab, weights / weights.sum(dim=2, keepdim=True)

    def fit(self, centres: Tensor) -> None:
        """Sets the colours (96, 3) that are told apart. The softmax leaves out what is the same for all of them."""
        with torch.no_grad():
            self.nearness.weight.copy_(2 * centres / _SPREAD)
            self.nearness.bias.copy_(-(centres**2).sum(dim=1) / _SPREAD)


class Ensemble(nn.Module):
    """uint8 images (b, s, s, 3) RGB to unit vectors (b, 512)."""

    def __init__(self, trained: Embedder, backbone: Backbone, fill: int) -> None:
        super().__init__()
        self.trained = trained
        self.whitening = nn.Linear(TRAINED_DIMENSION, TRAINED_DIMENSION)
        self.imagenet = ImageNetPart(backbone)
        self.colour = ColourPart(fill)

    def forward(self, image: Tensor) -> Tensor:
        x = normalise(image)
        learnt, attention = self.learnt(x)
        parts = [
            functional.normalize(self.whitening(learnt), dim=1),
            IMAGENET_WEIGHT * self.imagenet(x),
            COLOUR_WEIGHT * self.colour(x, attention),
        ]
        return functional.normalize(torch.cat(parts, dim=1), dim=1)

    def learnt(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Unit vectors as training left them, (b, 256), and the attention map, (b, 1, s/32, s/32)."""
        descriptor, attention = self.trained.crown.attended(*self.trained.trunk(x))
        return functional.normalize(self.trained.crown.projection(descriptor), dim=1), attention


def fitted(trained: Embedder, backbone: Backbone, squares: Squares, fill: int, seed: int) -> Ensemble:
    """The ensemble whose unlabelled parts are fitted to these pictures, letterboxed with `fill`."""
    ensemble = Ensemble(trained, backbone, fill).eval()
    with torch.inference_mode():
        descriptors = torch.cat([ensemble.imagenet.describe(x) for x in _batches(squares)])
        learnt = torch.cat([ensemble.learnt(x)[0] for x in _batches(squares)])
    start_as_pca(ensemble.imagenet.projection, descriptors.clone())
    start_as_pca(ensemble.whitening, learnt.clone(), WHITENING)
    with torch.inference_mode():
        ensemble.colour.fit(_centres(ensemble, squares, seed))
        histograms = [ensemble.colour(x, ensemble.learnt(x)[1]) for x in _batches(squares)]
        ensemble.colour.usual.copy_(torch.cat(histograms).mean(dim=0))
    return ensemble


def _centres(ensemble: Ensemble, squares: Squares, seed: int) -> Tensor:
    """Colours of the pictures, clustered, (96, 3)."""
    rng = np.random.default_rng(seed)
    samples: list[NDArray[np.float32]] = []
    for x in _batches(squares):
        for lab, weights in zip(*ensemble.colour.colours(x, ensemble.learnt(x)[1]), strict=True):
            share = weights[0].double().numpy()
            samples.append(lab.numpy()[rng.choice(len(share), _SAMPLES, p=share / share.sum())])
    cv2.setRNGSeed(seed)
    criteria = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_MAX_ITER, 100, 1e-3)
    found = cv2.kmeans(np.concatenate(samples), COLOURS, np.empty(0), criteria, 1, cv2.KMEANS_PP_CENTERS)[2]
    return torch.from_numpy(np.asarray(found, np.float32))


def _batches(squares: Squares) -> Iterator[Tensor]:
    for start in range(0, len(squares), _BATCH):
        yield normalise(torch.from_numpy(squares[start : start + _BATCH]))


def _fixed(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer
