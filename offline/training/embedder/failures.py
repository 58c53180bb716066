"""What an embedder takes for something else, drawn: query, answer, and what it should have been."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from offline.training.embedder import covers
from offline.training.embedder.drawings import Drawing
from offline.training.embedder.measure import Embedders, emoji_sides
from offline.training.embedder.pictures import Picture
from offline.training.embedder.views import phone_view
from shiwu.vision.resize import Image, fit

_SIDE: Final = 96
_ROWS: Final = 5
_FAMILIES: Final = 150
_SEED: Final = 4711
"""Far from the seeds that covers for training are drawn with."""
_WHITE: Final = 255


def draw_failures(embed: Embedders, drawn: Iterable[Drawing], path: Path) -> int:
    """Writes a sheet of the surest mistakes on objects that were never trained on; how many mistakes there were.

    Left, covers seen by a simulated phone among their siblings; right, drawings of one style sought among another's.
    In each row: query, what was answered, what is right.
    """
    wrong = [_mistakes(embed, *_covers()), _mistakes(embed, *emoji_sides(drawn)[1:])]
    columns = [np.concatenate([np.concatenate(row, axis=1) for row in rows[:_ROWS]]) for rows in wrong if rows]
    if columns:
        height = max(len(column) for column in columns)
        padded = [np.pad(c, ((0, height - len(c)), (0, 0), (0, 0)), constant_values=_WHITE) for c in columns]
        gap = np.full((height, _SIDE // 4, 3), _WHITE, np.uint8)
        sheet = np.concatenate([part for column in padded for part in (column, gap)][:-1], axis=1)
        cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 80])
    return sum(map(len, wrong))


def _mistakes(embed: Embedders, queries: Sequence[Image], gallery: Sequence[Image]) -> list[list[Image]]:
    """Query, answer and truth of every wrong answer, the surest first; gallery[i] is what queries[i] shows."""
    if not queries:
        return []
    similarity = embed.photos(queries) @ embed.gallery(gallery).T
    answered = similarity.argmax(axis=1)
    margin = similarity.max(axis=1) - similarity.diagonal()
    order = [i for i in np.argsort(-margin) if answered[i] != i]
    return [
        [fit(image, _SIDE, "letterbox", _WHITE)[0] for image in (queries[i], gallery[int(answered[i])], gallery[i])]
        for i in order
    ]


def _covers() -> tuple[list[Image], list[Image]]:
    """Fronts as a phone sees them, and the fronts."""
    rng = np.random.default_rng(_SEED)
    art = [covers.clouds(rng) for _ in range(40)]
    seeds = [np.random.default_rng([_SEED, number]) for number in range(_FAMILIES)]
    fronts = [front for seed in seeds for front in covers.family(seed, art)]
    return [phone_view(Picture(front, None), art, covers.SIDE, rng) for front in fronts], fronts
