"""What an embedder is worth on products that it never saw, and on those that it did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np

from offline.training.embedder.drawings import Drawing
from offline.training.embedder.pictures import Picture, load_pictures, over, read_picture
from offline.training.embedder.retrieval import Report, Vectors, leave_one_out, retrieve
from offline.training.embedder.split import Split
from offline.training.items import Item
from shiwu.inference.manifest import Preprocessing
from shiwu.vision.crop import middle
from shiwu.vision.resize import Image, fit

EmbedImages = Callable[[Sequence[Image]], Vectors]
"""RGB images of any size to unit vectors, (n, dimension)."""

_WHITE = 255
_CROP = 0.6
_BATCH = 16


def squares(
    images: Iterable[Image], how: Preprocessing, share: float = 1.0
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The images, or their middles with `share` of their sides, as the model reads them, (n, size, size, 3)."""
    return np.stack([fit(middle(image, share), how.size, how.fit, how.fill)[0] for image in images])


class Embedders(NamedTuple):
    """How pictures are embedded: a photo that is searched for, and a merchant's picture in the gallery."""

    photos: EmbedImages
    gallery: EmbedImages


def with_views(
    run: Callable[[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]], Vectors], how: Preprocessing
) -> Embedders:
    """The embedders of a model that reads prepared squares: the mean over the views that its manifest names."""

    def view(images: Sequence[Image], share: float) -> Vectors:
        parts = (images[i : i + _BATCH] for i in range(0, len(images), _BATCH))
        return np.concatenate([run(squares(part, how, share)) for part in parts])

    def embed(images: Sequence[Image], *, gallery: bool) -> Vectors:
        total = np.sum([view(images, share) for share in how.views_of(gallery=gallery)], axis=0)
        return np.asarray(total / np.linalg.norm(total, axis=1, keepdims=True), np.float32)

    return Embedders(partial(embed, gallery=False), partial(embed, gallery=True))


def measure(embed: Embedders, split: Split, drawn: Iterable[Drawing] = ()) -> dict[str, Report]:
    """Every measurement by name.

    grocery: photos against shop pictures, the whole photo, its centre (60 % of each side, much like a detector's
    crop), and turned by 90 degrees. magento and ycb: leave one out. emoji: objects of one style against another's.
    """
    return {**_grocery(embed, split), **_magento(embed, split), **_ycb(embed, split), **_emoji(embed, drawn)}


def _grocery(embed: Embedders, split: Split) -> dict[str, Report]:
    everything = (*split.train, *split.validation, *split.held_out)
    iconic = [i for i in everything if i.dataset == "grocery" and i.role == "merchant"]
    gallery = embed.gallery(_images(iconic))
    labels = _products(iconic)
    held = np.isin(labels, _products([i for i in split.held_out if i.dataset == "grocery"]))
    photos = [i for i in split.held_out if i.dataset == "grocery" and i.role == "photo"]
    images = _images(photos)
    products = _products(photos)
    crops = embed.photos([centre(image) for image in images])
    whole = embed.photos(images)
    turned = embed.photos([np.ascontiguousarray(np.rot90(centre(image))) for image in images])
    seen = [i for i in split.validation if i.dataset == "grocery"]
    seen_crops = embed.photos([centre(image) for image in _images(seen)])
    return {
        "grocery held-out, whole photo": retrieve(whole, products, gallery[held], labels[held]),
        "grocery held-out, centre crop": retrieve(crops, products, gallery[held], labels[held]),
        "grocery held-out, whole photo, all iconic": retrieve(whole, products, gallery, labels),
        "grocery held-out, centre crop, all iconic": retrieve(crops, products, gallery, labels),
        "grocery held-out, centre crop turned by 90 degrees": retrieve(turned, products, gallery[held], labels[held]),
        "grocery trained, centre crop, all iconic": retrieve(seen_crops, _products(seen), gallery, labels),
    }


def _magento(embed: Embedders, split: Split) -> dict[str, Report]:
    held = [i for i in split.held_out if i.dataset == "magento"]
    everything = held + [i for i in split.train if i.dataset == "magento"]
    images, own = _images(everything), slice(len(held))
    queries, gallery = embed.photos(images), embed.gallery(images)
    products, styles = _products(everything), _styles(everything)
    return {
        "magento held-out, colourway": leave_one_out(queries[own], products[own], gallery[own]),
        "magento held-out, style": leave_one_out(queries[own], styles[own], gallery[own]),
        "magento all, colourway": leave_one_out(queries, products, gallery),
        "magento all, style": leave_one_out(queries, styles, gallery),
    }


def _ycb(embed: Embedders, split: Split) -> dict[str, Report]:
    held = [i for i in split.held_out if i.dataset == "ycb"]
    images = _images(held)
    return {"ycb held-out, object": leave_one_out(embed.photos(images), _products(held), embed.gallery(images))}


def _emoji(embed: Embedders, drawn: Iterable[Drawing]) -> dict[str, Report]:
    objects, fluent, google = emoji_sides(drawn)
    if not objects:
        return {}
    names = np.array(objects, np.str_)
    return {"emoji, fluent to google": retrieve(embed.photos(fluent), names, embed.gallery(google), names)}


def emoji_sides(drawn: Iterable[Drawing]) -> tuple[list[str], list[Image], list[Image]]:
    """The objects that are kept for measuring, and each as fluent and as google draw it."""
    measured = [drawing for drawing in drawn if drawing.measured]
    fluent, google = ({d.object: d.path for d in measured if d.style == style} for style in ("fluent", "google"))
    objects = sorted(fluent.keys() & google.keys())
    first, second = ([opaque(read_picture(side[o], None)) for o in objects] for side in (fluent, google))
    return objects, first, second


def centre(image: Image, share: float = _CROP) -> Image:
    """The middle of an image, `share` of each side."""
    height, width = image.shape[:2]
    top, left = round(height * (1 - share) / 2), round(width * (1 - share) / 2)
    return np.ascontiguousarray(image[top : height - top, left : width - left])


def _images(items: Sequence[Item]) -> list[Image]:
    return [opaque(picture) for picture in load_pictures(items, side=None)]


def opaque(picture: Picture) -> Image:
    """The object of a render, cut to its box, on white; any other picture as it is."""
    if picture.alpha is None:
        return picture.rgb
    x, y, width, height = cv2.boundingRect(picture.alpha)
    part = slice(y, y + height), slice(x, x + width)
    return over(picture.rgb[part], picture.alpha[part], np.full((height, width, 3), _WHITE, np.uint8))


def _products(items: Sequence[Item]) -> np.ndarray[tuple[int, ...], np.dtype[np.str_]]:
    return np.array([item.product_id for item in items], np.str_)


def _styles(items: Sequence[Item]) -> np.ndarray[tuple[int, ...], np.dtype[np.str_]]:
    return np.array([item.style_id for item in items], np.str_)
