"""The catalog service as these jobs use it: patient, and with the articles' links told apart."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import grpc

from shiwu.chassis.channel import foreign_errors
from shiwu.chassis.errors import DeadlineError, NotFoundError, OverloadedError, UnavailableError
from shiwu.v1 import catalog_pb2 as pb
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub
from shiwu.v1.catalog_resources_pb2 import Article, Product

if TYPE_CHECKING:  # only in the types
    from shiwu.v1.catalog_pb2_grpc import CatalogServiceAsyncStub

T = TypeVar("T")

_SECONDS = 10.0
_PRODUCTS, _ARTICLES = 1000, 50
"""Of a page; 50 of the longest articles fill half of a message."""
_MOST_LINKS = 1000


class Catalogue:
    """Articles and products behind the API.

    Methods raise the errors of `shiwu.chassis.errors`; what may pass (no answer, too much asked) only after `patience`
    seconds of trying again, so that a job outlives a restart of the service.
    """

    def __init__(self, channel: grpc.aio.Channel, *, key: str = "", patience: float = 60.0) -> None:
        """key: API key or token; empty: none is shown."""
        self._stub: CatalogServiceAsyncStub = CatalogServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {key}"),) if key else ()
        self._patience = patience

    async def get_article(self, article_id: str) -> Article | None:
        """The article, or None if there is none."""
        try:
            return await self._call(self._stub.GetArticle, pb.GetArticleRequest(article_id=article_id))
        except NotFoundError:
            return None

    async def create_article(self, article: Article) -> Article:
        """Adds it."""
        return await self._call(self._stub.CreateArticle, pb.CreateArticleRequest(article=article))

    async def update_article(self, article: Article, *paths: str) -> Article:
        """Changes the fields named."""
        request = pb.UpdateArticleRequest(article=article)
        request.update_mask.paths.extend(paths)
        return await self._call(self._stub.UpdateArticle, request)

    async def articles(self) -> AsyncIterator[Article]:
        """All articles, by their key."""
        request = pb.ListArticlesRequest(page_size=_ARTICLES)
        while True:
            page = await self._call(self._stub.ListArticles, request)
            for article in page.articles:
                yield article
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def products(self) -> AsyncIterator[Product]:
        """All products, by their key."""
        request = pb.ListProductsRequest(page_size=_PRODUCTS)
        while True:
            page = await self._call(self._stub.ListProducts, request)
            for product in page.products:
                yield product
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def _call(self, method: Callable[..., Awaitable[T]], request: Any) -> T:
        clock = asyncio.get_running_loop().time
        until, pause = clock() + self._patience, 0.1
        while True:
            try:
                with foreign_errors("catalog"):
                    return await method(request, timeout=_SECONDS, metadata=self._metadata)
            except (UnavailableError, OverloadedError, DeadlineError) as error:
                wait = max(pause, (isinstance(error, OverloadedError) and error.retry_after) or 0.0)
                if clock() + wait > until:
                    raise
                await asyncio.sleep(wait)
                pause = min(2 * pause, 5.0)


def stated(article: Article) -> list[str]:
    """The products that somebody said an article is about: those with the score 1."""
    return [product_id for product_id, score in links(article).items() if score == 1]


def links(article: Article) -> dict[str, float]:
    """An article's products, with their scores."""
    scores = article.product_scores or [1.0] * len(article.product_ids)
    return dict(zip(article.product_ids, scores, strict=True))


def linked(article_id: str, said: list[str], found: Mapping[str, float]) -> Article:
    """A message that sets an article's links: those that somebody said, and others with scores below 1, best first."""
    others = sorted(((-score, key) for key, score in found.items() if key not in said))
    ids = [*said, *(key for _, key in others)][:_MOST_LINKS]
    scores = [*(1.0 for _ in said), *(-score for score, _ in others)][:_MOST_LINKS]
    return Article(article_id=article_id, product_ids=ids, product_scores=scores)


def same_links(article: Article, other: Article) -> bool:
    """Whether two articles are linked to the same products with the same scores, as far as the wire tells."""
    one, two = links(article), links(other)
    return one.keys() == two.keys() and all(math.isclose(one[key], two[key], abs_tol=1e-6) for key in one)
