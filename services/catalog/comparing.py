"""What a photo has in common with the catalogue's pictures, whose local features lie in its rows."""

from __future__ import annotations

from collections.abc import Mapping

from shiwu.chassis.errors import UnavailableError
from shiwu.vision.agreement import Agreement, compare_all
from shiwu.vision.local_features import LocalFeatures, is_current, unpack


def agreements(photo: LocalFeatures, pictures: Mapping[str, bytes]) -> dict[str, Agreement]:
    """By the picture. pictures: their packed features; those that another release has packed are left out.

    Raises UnavailableError if one is packed wrongly.
    """
    try:
        own = {image_id: unpack(packed) for image_id, packed in pictures.items() if is_current(packed)}
        return dict(zip(own, compare_all(photo, own.values()), strict=True))
    except ValueError as error:
        msg = f"a reference image's local features are damaged: {error}"
        raise UnavailableError(msg) from error
