"""Photos of known products: what a canary scans, and what it must find."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from shiwu.cli.connection import InputError
from shiwu.v1 import gateway_pb2 as pb

MANIFEST = "manifest.jsonl"


class Expected(BaseModel):
    """One line of a manifest: {"photo": "shoe.jpg", "product": "running-shoe"}, or "style", or "absent": true."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    photo: str
    """Path, from the manifest's folder."""
    product: str = ""
    """The product_id that must come first."""
    style: str = ""
    """Or the style_id: any product of it will do."""
    absent: bool = False
    """Or nothing may be accepted: the catalogue does not have the thing."""

    @model_validator(mode="after")
    def _one_thing(self) -> Expected:
        if sum(map(bool, (self.product, self.style, self.absent))) != 1:
            msg = 'expected one of "product", "style" and "absent": true'
            raise ValueError(msg)
        return self

    def is_met(self, answer: pb.ScanResponse) -> bool:
        """Whether the answer is right. A product must come first, accepted or not; what is absent must be said to be.

        An undecided answer to what is absent is not wrong, and not right either.
        """
        if self.absent:
            return answer.outcome == pb.OUTCOME_NOT_IN_CATALOGUE
        if not answer.styles:
            return False
        first = answer.styles[0]
        if self.style:
            return first.style.style_id == self.style
        return first.products[0].product.product_id == self.product


@dataclass(frozen=True)
class KnownPhoto:
    """A photo and what a scan of it must bring."""

    expected: Expected
    data: bytes


def read_photos(path: Path) -> list[KnownPhoto]:
    """The photos of a manifest, or of the one in a folder. Raises InputError, which names the line."""
    manifest = path / MANIFEST if path.is_dir() else path
    try:
        lines = manifest.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        msg = f'cannot read {manifest}: {error.strerror}; expected lines like {{"photo": "a.jpg", "product": "p1"}}'
        raise InputError(msg) from error
    photos = [_photo(line, manifest, number) for number, line in enumerate(lines, 1) if line.strip()]
    if not photos:
        msg = f"{manifest} has no photos"
        raise InputError(msg)
    return photos


def _photo(line: str, manifest: Path, number: int) -> KnownPhoto:
    try:
        expected = Expected.model_validate_json(line)
        return KnownPhoto(expected, (manifest.parent / expected.photo).read_bytes())
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        msg = (
            f"{manifest}, line {number}: {place + ': ' if place else ''}{problem['msg'].removeprefix('Value error, ')}"
        )
        raise InputError(msg) from error
    except OSError as error:
        msg = f"{manifest}, line {number}: cannot read {expected.photo}: {error.strerror}"
        raise InputError(msg) from error
