"""The articles of a file: JSON lines, or pages of a dump whose wikitext processes that can be stopped make plain."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import TimeoutError as TooLongError
from multiprocessing import get_context
from typing import IO, Final

from pebble import ProcessPool
from pydantic import BaseModel, ConfigDict, Field

from offline.indexing.articles.json_lines import read_lines
from offline.indexing.articles.mediawiki import Page, read_pages
from offline.indexing.articles.opening import Kind
from offline.indexing.articles.records import LONGEST_TITLE, Problem, Skipped, SourceArticle, fitted
from offline.indexing.articles.wikitext import plain

Outcome = SourceArticle | Problem | Skipped

_LARGEST_WIKITEXT: Final = 4 << 20
"""Characters; MediaWiki takes 2 MiB."""


class ReadSettings(BaseModel):
    """How a file is read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    namespaces: tuple[int, ...] = (0,)
    """Of a dump: what else there is (talk, files, templates) is no article."""
    category: str = ""
    """Of articles whose source names none."""
    workers: int = Field(max(1, (os.cpu_count() or 2) - 1), ge=1)
    """Processes that read wikitext."""
    page_seconds: float = Field(20.0, gt=0)
    """A page whose wikitext takes longer is a problem: hostile markup takes hours."""


class Reader:
    """Reads files in two steps, so that records that are finished are passed over at little cost. Close it."""

    def __init__(self, settings: ReadSettings) -> None:
        self._settings = settings
        # Spawned: forking does not go with gRPC's threads.
        self._pool = ProcessPool(settings.workers, context=get_context("spawn"))

    def close(self) -> None:
        """Stops the processes."""
        self._pool.stop()  # type: ignore[no-untyped-call]
        self._pool.join()

    def records(self, kind: Kind, content: IO[bytes]) -> Iterator[Page | Outcome]:
        """One for each line or page of the file, in their order."""
        return read_pages(content) if kind == "mediawiki" else read_lines(content, category=self._settings.category)

    def outcomes(self, records: Sequence[Page | Outcome]) -> list[Outcome]:
        """What each record comes to."""
        sifted = [self._sift(each) if isinstance(each, Page) else each for each in records]
        pages = [each for each in sifted if isinstance(each, Page)]
        texts: Iterator[str] = iter(())
        if pages:
            arguments = [page.wikitext for page in pages], [page.site.hidden for page in pages]
            texts = self._pool.map(plain, *arguments, timeout=self._settings.page_seconds).result()
        return [self._article(each, texts) if isinstance(each, Page) else each for each in sifted]

    def _sift(self, page: Page) -> Page | Problem | Skipped:
        if page.namespace not in self._settings.namespaces:
            return Skipped(page.record, "namespace")
        if page.redirect:
            return Skipped(page.record, "redirect")
        if not page.wikitext:
            return Skipped(page.record, "no text")
        if len(page.wikitext) > _LARGEST_WIKITEXT or len(page.title) > LONGEST_TITLE:
            size = f"{len(page.wikitext):,} characters, and its title {len(page.title):,}"
            expected = f"at most {_LARGEST_WIKITEXT:,} and {LONGEST_TITLE}"
            return Problem(page.record, _key(page), f"the page has {size}; expected {expected}")
        return page

    def _article(self, page: Page, texts: Iterator[str]) -> Outcome:
        try:
            text = next(texts)
        except TooLongError:
            seconds = self._settings.page_seconds
            return Problem(page.record, _key(page), f"{page.title[:80]!r} was not read within {seconds:g} s")
        except Exception as error:  # whatever one page does to the parser, the others go on
            return Problem(page.record, _key(page), f"{page.title[:80]!r} cannot be read: {error!r}")
        if not text:
            return Skipped(page.record, "no text")
        fields = {"article_id": _key(page), "title": page.title, "body": fitted(text), "url": page.site.url(page.title)}
        if self._settings.category:
            fields["category"] = self._settings.category
        try:
            return SourceArticle.model_validate(fields)
        except ValueError as error:
            return Problem(page.record, _key(page), str(error))


def _key(page: Page) -> str:
    return f"{page.site.name}:{page.page_id}"
