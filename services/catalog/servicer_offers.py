# ruff: noqa: ARG002  (gRPC passes a context)
"""Offers and articles."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty

from services.catalog import messages
from services.catalog.requests import changes, given, one_page, one_ranked_page
from services.catalog.resources import Article, Offer
from services.catalog.rules import ARTICLE, OFFER, facts, optional, text
from services.catalog.store import CatalogStore
from shiwu.chassis.errors import InvalidInputError
from shiwu.v1 import catalog_pb2 as pb
from shiwu.v1 import catalog_resources_pb2 as resources_pb
from shiwu.wire.ids import check_id

Context = grpc.aio.ServicerContext[Any, Any]

_LONGEST_QUERY = 1_000


class OfferMethods:
    """A part of `CatalogService`."""

    _store: CatalogStore

    async def CreateOffer(self, request: pb.CreateOfferRequest, context: Context) -> resources_pb.Offer:
        offer = Offer(**facts(given(request, "offer"), "offer", OFFER))
        return messages.offer(await self._store.create_offer(offer))

    async def GetOffer(self, request: pb.GetOfferRequest, context: Context) -> resources_pb.Offer:
        return messages.offer(await self._store.get_offer(check_id(request.offer_id, "offer_id")))

    async def ListOffers(self, request: pb.ListOffersRequest, context: Context) -> pb.ListOffersResponse:
        product_id = optional(check_id)(request.product_id, "product_id")
        page, token = await one_page(
            request,
            lambda after, limit: self._store.list_offers(after=after, limit=limit, product_id=product_id),
            attrgetter("offer_id"),
        )
        return pb.ListOffersResponse(offers=map(messages.offer, page), next_page_token=token)

    async def UpdateOffer(self, request: pb.UpdateOfferRequest, context: Context) -> resources_pb.Offer:
        changed = changes(request, "offer", OFFER, "offer_id")
        return messages.offer(await self._store.update_offer(request.offer.offer_id, changed))

    async def DeleteOffer(self, request: pb.DeleteOfferRequest, context: Context) -> Empty:
        await self._store.delete_offer(check_id(request.offer_id, "offer_id"))
        return Empty()

    async def CreateArticle(self, request: pb.CreateArticleRequest, context: Context) -> resources_pb.Article:
        found = _scored(facts(given(request, "article"), "article", ARTICLE))
        return messages.article(await self._store.create_article(Article(**found)))

    async def GetArticle(self, request: pb.GetArticleRequest, context: Context) -> resources_pb.Article:
        return messages.article(await self._store.get_article(check_id(request.article_id, "article_id")))

    async def ListArticles(self, request: pb.ListArticlesRequest, context: Context) -> pb.ListArticlesResponse:
        query = text(_LONGEST_QUERY)(request.query, "query")
        if query:
            page, token = await one_ranked_page(
                request, lambda offset, limit: self._store.search_articles(query, offset=offset, limit=limit)
            )
        else:
            page, token = await one_page(
                request,
                lambda after, limit: self._store.list_articles(after=after, limit=limit),
                attrgetter("article_id"),
            )
        return pb.ListArticlesResponse(articles=map(messages.article, page), next_page_token=token)

    async def UpdateArticle(self, request: pb.UpdateArticleRequest, context: Context) -> resources_pb.Article:
        changed = _scored(changes(request, "article", ARTICLE, "article_id"))
        return messages.article(await self._store.update_article(request.article.article_id, changed))

    async def DeleteArticle(self, request: pb.DeleteArticleRequest, context: Context) -> Empty:
        await self._store.delete_article(check_id(request.article_id, "article_id"))
        return Empty()


def _scored(found: dict[str, Any]) -> dict[str, Any]:
    """An article's fields, if its scores are those of the products named with them."""
    scores = found.get("product_scores")
    if scores is not None and "product_ids" not in found:
        msg = "'product_scores' alone cannot be changed; expected 'product_ids' with it"
        raise InvalidInputError(msg, field="update_mask")
    if scores and len(scores) != len(found["product_ids"]):
        msg = f"has {len(scores):,} scores; expected none or {len(found['product_ids']):,}, one for each of product_ids"
        raise InvalidInputError(msg, field="article.product_scores")
    return found
