"""Resources as messages."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money

from services.catalog.coverage import Coverage, Gap, GapState, Replay, Verdict
from services.catalog.resources import Article, Description, Offer, Product, ReferenceImage, Style
from shiwu.chassis.errors import InvalidInputError
from shiwu.v1 import catalog_pb2, catalog_resources_pb2

_NANOS = 10**9
_STATES = {
    GapState.OPEN: catalog_resources_pb2.GAP_STATE_OPEN,
    GapState.CLOSED: catalog_resources_pb2.GAP_STATE_CLOSED,
}
_VERDICTS = {
    None: catalog_resources_pb2.VERDICT_UNSPECIFIED,
    Verdict.RIGHT: catalog_resources_pb2.VERDICT_RIGHT,
    Verdict.WRONG: catalog_resources_pb2.VERDICT_WRONG,
}


def timestamp(moment: datetime | None) -> Timestamp | None:
    """None stays None: the field is unset."""
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def moment(message: Timestamp, field: str) -> datetime:
    """InvalidInputError if it is not a time of the years 1 to 9999."""
    try:
        return message.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        msg = f"{message.seconds} s and {message.nanos} ns are not a time of the years 1 to 9999"
        raise InvalidInputError(msg, field=field) from error


def money(price: Decimal, currency: str) -> Money:
    """price: not negative."""
    units, nanos = divmod(int(price.scaleb(9)), _NANOS)
    return Money(currency_code=currency, units=units, nanos=nanos)


def style(resource: Style) -> catalog_resources_pb2.Style:
    return catalog_resources_pb2.Style(
        style_id=resource.style_id,
        title=resource.title,
        category=resource.category,
        create_time=timestamp(resource.create_time),
        update_time=timestamp(resource.update_time),
    )


def product(resource: Product) -> catalog_resources_pb2.Product:
    return catalog_resources_pb2.Product(
        product_id=resource.product_id,
        style_id=resource.style_id,
        title=resource.title,
        brand=resource.brand,
        category=resource.category,
        description=resource.description,
        gtin=resource.gtin,
        create_time=timestamp(resource.create_time),
        update_time=timestamp(resource.update_time),
    )


def reference_image(resource: ReferenceImage) -> catalog_resources_pb2.ReferenceImage:
    return catalog_resources_pb2.ReferenceImage(
        image_id=resource.image_id,
        product_id=resource.product_id,
        uri=resource.uri,
        sha256=resource.sha256,
        width=resource.width,
        height=resource.height,
        model=resource.model,
        index_time=timestamp(resource.index_time),
        create_time=timestamp(resource.create_time),
    )


def offer(resource: Offer) -> catalog_resources_pb2.Offer:
    return catalog_resources_pb2.Offer(
        offer_id=resource.offer_id,
        product_id=resource.product_id,
        merchant=resource.merchant,
        price=money(resource.price, resource.currency),
        url=resource.url,
        available=resource.available,
        update_time=timestamp(resource.update_time),
        close_time=timestamp(resource.close_time),
    )


def article(resource: Article) -> catalog_resources_pb2.Article:
    return catalog_resources_pb2.Article(
        article_id=resource.article_id,
        title=resource.title,
        body=resource.body,
        url=resource.url,
        category=resource.category,
        product_ids=resource.product_ids,
        product_scores=resource.product_scores,
        update_time=timestamp(resource.update_time),
    )


def description(resource: Description) -> catalog_pb2.ProductDescription:
    return catalog_pb2.ProductDescription(
        product=product(resource.product),
        style=None if resource.style is None else style(resource.style),
        offers=[offer(each) for each in resource.offers],
    )


def gap(resource: Gap) -> catalog_resources_pb2.Gap:
    return catalog_resources_pb2.Gap(
        scan_id=resource.scan_id,
        category=resource.category,
        confidence=resource.confidence,
        scan_time=timestamp(resource.scan_time),
        crop=resource.crop,
        comment=resource.comment,
        refused_product_id=resource.refused_product_id,
        state=_STATES[resource.state],
        replay=None if resource.replay is None else replay(resource.replay),
        cluster_id=resource.cluster_id,
        demand=resource.demand,
        vector=resource.vector,
        model=resource.model,
        verdict=_VERDICTS[resource.verdict],
        said_product_id=resource.said_product_id,
    )


def replay(resource: Replay) -> catalog_resources_pb2.Replay:
    return catalog_resources_pb2.Replay(
        replay_id=resource.replay_id,
        product_id=resource.product_id,
        confidence=resource.confidence,
        model=resource.model,
        index_time=timestamp(resource.index_time),
        replay_time=timestamp(resource.replay_time),
    )


def coverage(resource: Coverage) -> catalog_resources_pb2.Coverage:
    counts = {name: getattr(resource, name) for name in ("gaps", "without_crop", "replayed", "found", "closed")}
    return catalog_resources_pb2.Coverage(
        replay_id=resource.replay_id,
        category=resource.category,
        update_time=timestamp(resource.update_time),
        **counts,
    )
