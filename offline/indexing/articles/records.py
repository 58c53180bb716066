"""What a source says of one article, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from shiwu.categories import CATEGORIES
from shiwu.chassis.errors import InvalidInputError
from shiwu.wire.ids import check_id

LONGEST_BODY = 100_000
LONGEST_TITLE = 500


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a record was not imported."""

    record: int
    """Which one of the file, from 1: a line of JSON lines, a page of a dump."""
    article_id: str
    """Empty if it is not known."""
    problem: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A record that is no article, and is not meant to be one."""

    record: int
    reason: Literal["redirect", "namespace", "no text"]


def _key(value: str) -> str:
    try:
        return check_id(value, "")
    except InvalidInputError as error:
        raise ValueError(str(error)) from error


def _category(value: str) -> str:
    if value and value not in CATEGORIES:
        msg = f"is {value[:40]!r}; expected one of {', '.join(CATEGORIES)}, or nothing"
        raise ValueError(msg)
    return value


def fitted(body: str) -> str:
    """The body, or as many of its first paragraphs as an article may hold."""
    if len(body) <= LONGEST_BODY:
        return body
    cut = body.rfind("\n", 0, LONGEST_BODY)
    return body[: cut if cut > LONGEST_BODY // 2 else LONGEST_BODY].rstrip()


class SourceArticle(BaseModel):
    """One article. What the source leaves out (`model_fields_set` tells) stays in the catalogue as it is."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    article_id: Annotated[str, AfterValidator(_key)]
    title: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_TITLE, pattern=r"\S")]
    body: Annotated[str, AfterValidator(fitted)] = ""
    url: Annotated[str, StringConstraints(max_length=2048, pattern=r"^(https?://\S+)?$")] = ""
    category: Annotated[str, AfterValidator(_category)] = ""
    product_ids: Annotated[list[str], Field(max_length=1000)] = []
    """Products that it is about, as somebody said."""
