"""What a photo and a picture have in common: the same print, at the same places, in the same colours, in every part.

Local features matched both ways by Lowe's ratio (IJCV 2004), and counted where one affine map explains them (Fischler &
Bolles, RANSAC, CACM 1981). By that map the picture's thumbnail is laid over the photo: cells tell whether the colours
are the same, and blocks, looked for near their places by normalised cross-correlation (Lewis, Vision Interface 1995),
whether all that is printed is: another name under the same drawing is another product.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from shiwu.vision.local_features import CELLS, THUMBNAIL, LocalFeatures, Places, gray_of

Affine = NDArray[np.float64]
"""Of the picture's places to the photo's, (2, 3)."""
Projective = NDArray[np.float64]
"""Likewise, (3, 3)."""
Values = NDArray[np.float32]

_RATIO: Final = 0.85
_TOLERANCE: Final = 6.0
"""Pixels that a matched place may lie from where the map puts it."""
_FEWEST: Final = 9
"""Matches, and of these such that agree: most pairs of pictures have fewer by chance, and the rest costs most."""
_FEWEST_CELLS: Final = 4
"""To tell their colours, or to tell blocks from others."""
_TRIES: Final = 500
_SEED: Final = 1
_SQUEEZED: Final = 3.0
"""Largest ratio of the two scales of a map; one that squeezes more is no view of a thing."""
_SMALLEST: Final = 0.15
"""Smallest scale of a map."""
_SAME_COLOUR: Final = 4.0
"""Mean gap in CIELAB's a and b that is still none."""
_OTHER_COLOUR: Final = 16.0
"""From here on colours are not alike at all."""
_LIGHT: Final = 8.0
"""So far a and b may be shifted everywhere by the colour of the light; what goes beyond is the thing's own."""
_BEND: Final = 2.0
"""Largest ratio of a projective map's scale at a corner of the picture to that at another."""
_FEWEST_PROJECTIVE: Final = 12
"""Agreeing features, to tell how the picture is tilted."""
_BLOCK: Final = 10
"""Pixels of a thumbnail's block, across and down; blocks overlap by half."""
_SHIFT: Final = 3
"""Pixels of the thumbnail that a block may lie from its place: paper bends, and the map is not exact."""
_BLUR: Final = 0.5
_PRINTED: Final = 8.0
"""Standard deviation of the gray levels from which on a block shows something."""
_PHOTO_DEVIATION: Final = 2.0
"""Of the photo at least, so that noise is not taken for print."""
_WORST: Final = 0.1
"""The share of the blocks that a part which differs has at least."""
_USUAL: Final = 4.0
"""In photos of the same print the worst tenth of the blocks is about as alike as the middle one to this power."""
_SLACK: Final = 0.1
"""For where all are so unlike that their ratio says nothing."""
_UNCLEAR: Final = 0.8
"""How alike the middle block is at most where the view is too bent, blurred or far for its parts to tell anything."""
_CLEAR: Final = 0.95
"""And at least, where they tell all they can."""
_MIDDLES: Final = slice(_BLOCK // 2, THUMBNAIL - _BLOCK // 2 + 1, _BLOCK // 2)
"""Of the blocks, across and down."""
_BLOCKS: Final = np.stack(
    [(np.abs(np.arange(THUMBNAIL) + 0.5 - at) < _BLOCK / 2) / np.float32(_BLOCK) for at in range(THUMBNAIL)[_MIDDLES]],
    axis=1,
)
"""What sums the pixels of a row to the means of its blocks, (96, 18)."""


class Agreement(NamedTuple):
    """What a photo and a picture have in common. All 0 where that is little, or no map explains it."""

    features: int = 0
    coverage: float = 0.0
    """The share that they span of the area of all of the picture's features that lie within the photo."""
    colour: float = 0.0
    """How alike the colours are there, 0 to 1, but for the light's."""
    detail: float = 0.0
    """How little any part of the print differs more than the others, 0 to 1; 1 where the view is not clear enough."""


class _Photo(NamedTuple):
    """What every comparison needs of a photo."""

    places: Places
    size: tuple[int, int]
    descriptors: Values
    """As unit vectors, (n, 128)."""
    chroma: Values
    gray: Values


def compare(photo: LocalFeatures, picture: LocalFeatures) -> Agreement:
    """What of a picture is in the photo, as one map explains it. Raises ValueError for a damaged thumbnail."""
    return compare_all(photo, [picture])[0]


def compare_all(photo: LocalFeatures, pictures: Iterable[LocalFeatures]) -> list[Agreement]:
    """The same of each of the pictures, in their order."""
    places = photo.places.astype(np.float32)
    own = _Photo(places, photo.size, _unit(photo.descriptors), _chroma(photo), _softened(gray_of(photo)))
    return [_compared(own, each) for each in pictures]


def _compared(photo: _Photo, picture: LocalFeatures) -> Agreement:
    matches = _matches(photo.descriptors, _unit(picture.descriptors))
    if len(matches) < _FEWEST:
        return Agreement()
    # RANSAC draws from OpenCV's own generator, one for each thread: the same pictures always agree as much.
    cv2.setRNGSeed(_SEED)
    agreeing, seen = picture.places[matches[:, 1]].astype(np.float32), photo.places[matches[:, 0]]
    found, inliers = cv2.estimateAffine2D(
        agreeing, seen, method=cv2.RANSAC, ransacReprojThreshold=_TOLERANCE, maxIters=_TRIES
    )
    if found is None:
        return Agreement()
    affine = np.asarray(found, np.float64)
    largest, smallest = np.linalg.svd(affine[:, :2], compute_uv=False)
    if np.linalg.det(affine[:, :2]) <= 0 or largest > _SQUEEZED * smallest or smallest < _SMALLEST:
        return Agreement()
    agreeing, seen = agreeing[inliers[:, 0] > 0], seen[inliers[:, 0] > 0]
    if len(agreeing) < _FEWEST:
        return Agreement()
    places = picture.places.astype(np.float32)
    within = places[_inside(_mapped(places, affine), photo.size)]
    area = _area(within)
    if area <= 0.0:
        return Agreement(len(agreeing))
    coverage = min(1.0, _area(agreeing) / area)
    detail = _detail(photo, picture, _projective(affine, agreeing, seen, picture.size))
    return Agreement(len(agreeing), coverage, _colour(photo, picture, affine, within), detail)


def _area(places: Places) -> float:
    """Of their convex hull."""
    return cv2.contourArea(cv2.convexHull(places)) if len(places) > 2 else 0.0


def _mapped(places: Places, affine: Affine) -> Places:
    return np.asarray(places @ affine[:, :2].T + affine[:, 2], np.float32)


def _inside(places: Places, size: tuple[int, int]) -> NDArray[np.bool_]:
    return np.asarray(((places >= 0) & (places < size)).all(axis=1))


def _colour(photo: _Photo, picture: LocalFeatures, affine: Affine, within: Places) -> float:
    """How alike the colours are in the picture's cells that these of its places lie around."""
    scale = np.array(picture.size, np.float32) / CELLS
    mask = np.zeros((CELLS, CELLS), np.uint8)
    cv2.fillConvexPoly(mask, np.rint(cv2.convexHull(within) / scale - 0.5).astype(np.int32), (1,))
    y, x = np.nonzero(mask)
    places = _mapped(np.asarray((np.stack([x, y], axis=1) + 0.5) * scale, np.float32), affine)
    seen = _inside(places, photo.size)
    if seen.sum() < _FEWEST_CELLS:
        return 0.0
    across, down = (places[seen] * CELLS / np.array(photo.size, np.float32) - 0.5).T
    own = cv2.remap(photo.chroma, across[None], down[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
    gap = own - _chroma(picture)[y[seen], x[seen]]
    gap = gap - np.clip(np.median(gap, axis=0), -_LIGHT, _LIGHT)
    return float(np.clip((_OTHER_COLOUR - np.abs(gap).mean()) / (_OTHER_COLOUR - _SAME_COLOUR), 0.0, 1.0))


def _chroma(features: LocalFeatures) -> NDArray[np.float32]:
    """The cells' a and b of CIELAB, (12, 12, 2)."""
    lab = cv2.cvtColor(features.colours.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
    return np.asarray(lab[..., 1:], np.float32)


def _projective(affine: Affine, agreeing: Places, seen: Places, size: tuple[int, int]) -> Projective:
    """The map that lays the agreeing places on those in the photo; as affine as `affine` where they do not tell."""
    plain = np.vstack([affine, [0.0, 0.0, 1.0]])
    found = cv2.findHomography(agreeing, seen, 0)[0] if len(agreeing) >= _FEWEST_PROJECTIVE else None
    if found is None:
        return plain
    width, height = size
    scales = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]]) @ found[2]
    return np.asarray(found, np.float64) if 0.0 < scales.max() <= _BEND * scales.min() else plain


def _detail(photo: _Photo, picture: LocalFeatures, projective: Projective) -> float:
    """Whether all of the picture's printed blocks are as alike to what lies near their places in the photo."""
    shape = (THUMBNAIL, THUMBNAIL)
    thumbnail = _softened(cv2.resize(gray_of(picture), shape, interpolation=cv2.INTER_AREA))
    around = np.array([[1, 0, -_SHIFT], [0, 1, -_SHIFT], [0, 0, 1]])
    to_photo = np.linalg.inv(_grid(photo.gray.shape, photo.size)) @ projective @ _grid(shape, picture.size) @ around
    warped = cv2.warpPerspective(
        photo.gray,
        to_photo,
        (THUMBNAIL + 2 * _SHIFT, THUMBNAIL + 2 * _SHIFT),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(-1e6,),
    )
    in_view: Values = np.asarray(warped > -1.0, np.float32)
    laid: Values = np.asarray(warped * in_view, np.float32)
    mean = _BLOCKS.T @ thumbnail @ _BLOCKS
    deviation = np.sqrt(np.maximum(_BLOCKS.T @ (thumbnail * thumbnail) @ _BLOCKS - mean * mean, 0.0))
    means = _box(laid)
    deviations = np.sqrt(np.maximum(_box(laid * laid) - means * means, 0.0))
    covariance = _products(thumbnail, laid) - mean * _shifted(means)
    alike = covariance / np.maximum(deviation * np.maximum(_shifted(deviations), _PHOTO_DEVIATION), 1e-6)
    seen = _shifted(_box(in_view))[_SHIFT, _SHIFT] > 0.999
    best = alike.max(axis=(0, 1))[seen & (deviation > _PRINTED)]
    if len(best) < _FEWEST_CELLS:
        return 1.0
    worst, middle = np.clip(np.quantile(best, (_WORST, 0.5)), 0.0, 1.0)
    evenness = min(1.0, (worst + _SLACK) / (middle**_USUAL + _SLACK))
    clearness = np.clip((middle - _UNCLEAR) / (_CLEAR - _UNCLEAR), 0.0, 1.0)
    return float(1.0 - clearness * (1.0 - evenness**2))


def _products(thumbnail: Values, laid: Values) -> Values:
    """The mean product of each block, (18, 18), with the photo's at each shift of it, (7, 7, 18, 18)."""
    shifts, blocks = 2 * _SHIFT + 1, _BLOCKS.shape[1]
    found = np.empty((shifts, blocks, shifts, blocks), np.float32)
    for down in range(shifts):
        beside = sliding_window_view(laid[down : down + THUMBNAIL], THUMBNAIL, axis=1)
        across = (beside * thumbnail[:, None]).reshape(-1, THUMBNAIL) @ _BLOCKS
        found[down] = (_BLOCKS.T @ across.reshape(THUMBNAIL, -1)).reshape(blocks, shifts, blocks)
    return found.transpose(0, 2, 1, 3)


def _shifted(values: Values) -> Values:
    """The values in the middles of the blocks at each shift, (7, 7, 18, 18)."""
    return sliding_window_view(values, (THUMBNAIL, THUMBNAIL))[..., _MIDDLES, _MIDDLES]


def _grid(shape: tuple[int, ...], size: tuple[int, int]) -> Projective:
    """From pixels of an image, (height, width), to places."""
    across, down = size[0] / shape[1], size[1] / shape[0]
    return np.array([[across, 0, across / 2], [0, down, down / 2], [0, 0, 1]])


def _softened(gray: ArrayLike) -> Values:
    return np.asarray(cv2.GaussianBlur(np.asarray(gray, np.float32), (0, 0), _BLUR), np.float32)


def _box(values: Values) -> Values:
    return np.asarray(cv2.boxFilter(values, -1, (_BLOCK, _BLOCK), borderType=cv2.BORDER_REPLICATE), np.float32)


def _matches(first: Values, second: Values) -> NDArray[np.intp]:
    """Rows of both that are each other's nearest, and much nearer than the next, (m, 2); of unit vectors."""
    if len(first) < 2 or len(second) < 2:
        return np.zeros((0, 2), np.intp)
    cosines = first @ second.T
    nearest = cosines.argmax(axis=1)
    rows = np.arange(len(first))
    best = cosines[rows, nearest]
    cosines[rows, nearest] = -1.0
    # Squares of distances between unit vectors, halved.
    clear = np.flatnonzero(np.maximum(0.0, 1.0 - best) < _RATIO**2 * (1.0 - cosines.max(axis=1)))
    cosines[rows, nearest] = best
    taken = clear[cosines[:, nearest[clear]].argmax(axis=0) == clear]
    return np.stack([taken, nearest[taken]], axis=1)


def _unit(descriptors: NDArray[np.uint8]) -> NDArray[np.float32]:
    values = descriptors.astype(np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", values, values))
    return np.asarray(values / (lengths[:, None] + 1e-7), np.float32)
