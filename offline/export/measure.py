"""What a format is worth: recall on held-out photos, and time on one thread."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from tqdm import tqdm

from offline.export.pictures import Squares, image_sets
from offline.export.runtimes import Released, Run, in_batches
from offline.training.detector.decoding import Decoder
from offline.training.detector.library import held_out
from offline.training.detector.measures import Case, Figure, hits, share
from offline.training.detector.targets import Truth
from offline.training.embedder.measure import centre, squares
from offline.training.embedder.pictures import load_pictures
from offline.training.embedder.retrieval import retrieve
from offline.training.embedder.split import split_items
from offline.training.items import Item, load_items
from shiwu.inference.manifest import DetectorManifest, EmbedderManifest
from shiwu.vision.resize import fit

_BOXED: Final = "coco128"
_BIG: Final = 0.02
_ROUNDS: Final = 40


def recall(run: Run, name: str, manifest: Released, data: Path) -> Figure | None:
    """An embedder's `retrieval_recall` or a detector's `detection_recall`."""
    if isinstance(manifest, DetectorManifest):
        return detection_recall(run, name, manifest, data)
    return retrieval_recall(run, name, manifest, data)


def retrieval_recall(run: Run, name: str, manifest: EmbedderManifest, data: Path) -> Figure | None:
    """Recall@1 of held-out products: the centres of user photos against shop pictures. None: there are none."""
    held = split_items(load_items(data, image_sets(data))).held_out
    photos = [item for item in held if item.role == "photo" and item.product_id is not None]
    seen = {photo.product_id for photo in photos}
    shop = [item for item in held if item.role == "merchant" and item.product_id in seen]
    if not photos or not shop:
        return None
    queries = squares([centre(picture.rgb) for picture in load_pictures(photos, side=None)], manifest.preprocessing)
    gallery = squares([picture.rgb for picture in load_pictures(shop, side=None)], manifest.preprocessing)
    output = manifest.outputs[0].name
    vectors = in_batches(run, np.concatenate([gallery, queries]), f"recall of {name}")[output]
    report = retrieve(vectors[len(shop) :], _products(photos), vectors[: len(shop)], _products(shop))
    return Figure(report.recall_1.mean, report.recall_1.low, report.recall_1.high, report.queries)


def _products(items: Sequence[Item]) -> np.ndarray[tuple[int, ...], np.dtype[np.str_]]:
    return np.array([item.product_id for item in items], np.str_)


def detection_recall(run: Run, name: str, manifest: DetectorManifest, data: Path) -> Figure | None:
    """Share of held-out photos with drawn boxes whose main object, if it fills 2 %, the best box meets.

    None: there are no such photos.
    """
    if _BOXED not in image_sets(data):
        return None
    items = load_items(data, [_BOXED])
    held = held_out([item.path.stem for item in items])
    chosen = [item for item in items if item.path.stem in held and any(box.product for box in item.boxes or ())]
    decoder, how, cases = Decoder(manifest), manifest.preprocessing, list[Case]()
    for item, picture in zip(tqdm(chosen, desc=f"recall of {name}"), load_pictures(chosen, side=None), strict=True):
        square, placement = fit(picture.rgb, how.size, how.fit, how.fill)
        answer = run(square[None])
        height, width = picture.rgb.shape[:2]
        found = decoder.read(answer["scores"][0], answer["deltas"][0], placement, width, height)
        cases.append(Case(width, height, _truth(item), found))
    cases = [case for case in cases if case.main_share > _BIG]
    return share([hits(case, 1) for case in cases]) if cases else None


def _truth(item: Item) -> Truth:
    boxes = np.array([box.corners for box in item.boxes or () if box.product], np.float32)
    return Truth(boxes, np.full(len(boxes), -1, np.int64), np.zeros((0, 4), np.float32))


def milliseconds(runs: Mapping[str, Run], square: Squares) -> dict[str, float]:
    """Median time of each model for one square, (1, size, size, 3).

    They take turns, so that whatever else the machine does slows all of them alike and ratios hold.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in tqdm(range(_ROUNDS), desc="latency", unit="round"):
        for name, run in runs.items():
            start = time.perf_counter()
            run(square)
            times[name].append(time.perf_counter() - start)
    return {name: float(np.median(taken)) * 1e3 for name, taken in times.items()}
