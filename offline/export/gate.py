"""The parity gate: is an exported model faithful to the released one, on real pictures?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from offline.export.pictures import Squares
from offline.export.runtimes import Outputs, Released, Run, in_batches
from offline.training.detector.decoding import Decoder
from offline.training.embedder.retrieval import Vectors
from shiwu.inference.manifest import DetectorManifest
from shiwu.vision import boxes as geometry
from shiwu.vision.boxes import Boxes
from shiwu.vision.resize import Placement

Precision = Literal["float", "int8"]
Figures = dict[str, float]

LIMITS: Final[dict[str, dict[Precision, Figures]]] = {
    "embedding": {
        "float": {"cosine": 0.999, "neighbours": 0.98},
        "int8": {"cosine": 0.98, "neighbours": 0.9},
    },
    "detection": {
        "float": {"iou": 0.99, "agreement": 0.98},
        "int8": {"iou": 0.9, "agreement": 0.9},
    },
}
"""Least figure that passes, by task and precision.

cosine: mean between a picture's two embeddings. neighbours: share of a picture's 10 nearest others that stay.
iou: mean over boxes that both find (IoU >= .5, pairs by falling IoU), after decoding and suppression, at the
manifest's threshold. agreement: boxes that both find, as a share of the boxes that either finds (F1).
"""

_NEIGHBOURS: Final = 10
_SHARED: Final = 0.5


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was measured and what is asked for."""

    figures: Figures
    limits: Figures

    @property
    def faults(self) -> list[str]:
        """Each figure that misses its limit; a figure that is not a number does."""
        return [
            f"{name} {self.figures[name]:.4f} < {least}"
            for name, least in self.limits.items()
            if not self.figures[name] >= least
        ]


class Gate:
    """Compares models with a released one, whose answers for the pictures are computed once."""

    def __init__(self, manifest: Released, reference: Run, squares: Squares) -> None:
        self._manifest = manifest
        self._squares = squares
        self._reference = in_batches(reference, squares, "reference")

    def judge(self, name: str, run: Run, precision: Precision) -> Verdict:
        """How near `run` comes to the reference."""
        answers = in_batches(run, self._squares, f"gate of {name}")
        if isinstance(self._manifest, DetectorManifest):
            figures = compare_boxes(self._boxes(self._reference), self._boxes(answers))
        else:
            output = self._manifest.outputs[0].name
            figures = compare_vectors(self._reference[output], answers[output])
        return Verdict(figures, LIMITS[self._manifest.task][precision])

    def _boxes(self, answers: Outputs) -> Iterator[Boxes]:
        manifest = self._manifest
        assert isinstance(manifest, DetectorManifest)  # noqa: S101 - for the type checker
        decoder, size = Decoder(manifest), manifest.preprocessing.size
        for scores, deltas in zip(answers["scores"], answers["deltas"], strict=True):
            # The square is the picture here: what lies in its gray border must agree as well.
            found = decoder.read(scores, deltas, Placement((1.0, 1.0), (0.0, 0.0)), size, size)
            yield found.boxes[found.scores >= manifest.min_score]


def compare_vectors(wanted: Vectors, given: Vectors) -> Figures:
    """cosine and neighbours (see LIMITS) of embeddings, (n, d); the wanted ones have unit length."""
    cosine = (wanted * given).sum(axis=1) / np.linalg.norm(given, axis=1)
    pairs = zip(_nearest(wanted), _nearest(given), strict=True)
    kept = [len(np.intersect1d(a, b)) / len(a) for a, b in pairs]
    return {"cosine": float(cosine.mean()), "neighbours": float(np.mean(kept)), "least cosine": float(cosine.min())}


def _nearest(vectors: Vectors) -> Iterator[np.ndarray[tuple[int, ...], np.dtype[np.intp]]]:
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -np.inf)
    yield from np.argsort(-similarity, axis=1, kind="stable")[:, :_NEIGHBOURS]


def compare_boxes(wanted: Iterator[Boxes], given: Iterator[Boxes]) -> Figures:
    """iou and agreement (see LIMITS) of the boxes found in each picture."""
    found, shared = 0, list[float]()
    for a, b in zip(wanted, given, strict=True):
        found += len(a) + len(b)
        shared += _shared(a, b)
    return {
        "iou": float(np.mean(shared)) if shared else 0.0,
        "agreement": 2 * len(shared) / found if found else 0.0,
        "boxes": found / 2,
    }


def _shared(a: Boxes, b: Boxes) -> list[float]:
    """IoU of each pair that stands for one object, a box in one pair at most."""
    overlaps = geometry.iou(a, b)
    pairs: list[float] = []
    while overlaps.size and overlaps.max() >= _SHARED:
        i, j = np.unravel_index(overlaps.argmax(), overlaps.shape)
        pairs.append(float(overlaps[i, j]))
        overlaps[i, :] = overlaps[:, j] = 0.0
    return pairs
