"""The box of a printed article in a user's photo, found by matching the shop's image of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from offline.training.detector import mattes
from shiwu.vision import boxes as geometry
from shiwu.vision.boxes import Boxes
from shiwu.vision.resize import Image

_ENLARGED: Final = 1.5
"""The pictures are small; SIFT finds more in larger ones."""
_RATIO: Final = 0.82
_INLIERS: Final = 35
_SHEAR: Final = 1.45
"""Largest ratio of the two scales of the fitted map: beyond it a side of the pack is seen, or the match is wrong."""
_PRINTED: Final = 150
"""Keypoints that a shop's image must have; fruit has fewer and matches any fruit."""


@dataclass(frozen=True, slots=True)
class Template:
    """Where a shop's image, on white, has which features, and the article's corners."""

    points: NDArray[np.float32]
    features: NDArray[np.float32]
    corners: NDArray[np.float32]


def template(image: Image) -> Template | None:
    """None when the article bears too little print."""
    mask = mattes.on_white(image)
    points, features = _describe(image)
    if len(points) < _PRINTED or not mask.any():
        return None
    x1, y1, x2, y2 = mattes.box_of(mask)[0]
    return Template(points, features, np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float32))


def locate(image: Image, wanted: Template) -> Boxes | None:
    """The article's box, (1, 4) pixels, cut to the image; None unless the match is beyond doubt.

    SIFT with root normalisation and Lowe's ratio test, then an affine map by RANSAC (Arandjelovic & Zisserman,
    CVPR 2012; Lowe, IJCV 2004).
    """
    points, features = _describe(image)
    if len(points) < _INLIERS:
        return None
    pairs = [
        near
        for near, next_ in cv2.BFMatcher().knnMatch(features, wanted.features, 2)
        if near.distance < _RATIO * next_.distance
    ]
    if len(pairs) < _INLIERS:
        return None
    found = points[[pair.queryIdx for pair in pairs]]
    known = wanted.points[[pair.trainIdx for pair in pairs]]
    # RANSAC draws from OpenCV's own generator.
    cv2.setRNGSeed(1)
    affine, inliers = cv2.estimateAffine2D(known, found, method=cv2.RANSAC, ransacReprojThreshold=4.0, maxIters=3000)
    if affine is None or inliers.sum() < _INLIERS:
        return None
    scales = np.linalg.svd(affine[:, :2], compute_uv=False)
    if np.linalg.det(affine[:, :2]) <= 0 or scales[0] > _SHEAR * scales[1] or scales[1] < 0.1:
        return None
    corners = wanted.corners @ affine[:, :2].T + affine[:, 2]
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])[None].astype(np.float32)
    return geometry.clip(box, image.shape[1], image.shape[0])


def _describe(image: Image) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Keypoints (n, 2) in pixels of the image and their descriptors (n, 128)."""
    size = (round(image.shape[1] * _ENLARGED), round(image.shape[0] * _ENLARGED))
    gray = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_CUBIC)
    keypoints, features = cv2.SIFT.create(1500, contrastThreshold=0.02).detectAndCompute(gray, None)
    if features is None or not len(keypoints):
        return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
    points = np.array([k.pt for k in keypoints], np.float32) / _ENLARGED
    return points, np.sqrt(features / (features.sum(axis=1, keepdims=True) + 1e-7))
