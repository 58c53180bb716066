"""What to import next: things that several scans ask for, styles with few pictures, and thin categories.

Every open gap is worth one scan, and gives it to what would most likely close it: to its cluster, if at least
`min_demand` gaps are in it; otherwise, where the last replay came nearest to a style with fewer than `min_pictures`
pictures, to that style with the confidence of that replay, and what is left to its category. So the worths of all
proposals add up to the number of open gaps. Gaps whose users said that the answer was right are none here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from offline.indexing.replay import listed
from shiwu.categories import CATEGORIES
from shiwu.v1 import catalog_pb2
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub
from shiwu.v1.catalog_resources_pb2 import GAP_STATE_OPEN, VERDICT_RIGHT, Product, ReferenceImage

Key = tuple[Literal["style_id", "product_id"], str]

_PAGE: Final = 1000
_TIMEOUT: Final = 60.0


class DiscoveryRule(BaseModel):
    """What is proposed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_demand: int = Field(2, ge=2)
    """A thing is proposed if so many open gaps ask for it."""
    min_pictures: int = Field(3, ge=1)
    """A style with fewer is hard to find from another side."""
    thin_share: float = Field(0.25, ge=0.0, le=1.0)
    """A category is thin if it has fewer products than this share of the median category."""


@dataclass(frozen=True, slots=True)
class OpenGap:
    """What of an open gap matters here."""

    scan_id: str
    category: str
    cluster_id: str
    """Empty: not clustered."""
    near: Key | None
    """The style that its last replay came nearest to."""
    confidence: float
    """Of that replay."""


@dataclass(frozen=True, slots=True)
class Style:
    """A style, or a product that has none."""

    key: Key
    title: str
    category: str
    products: int
    pictures: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """Something to import."""

    kind: Literal["thing", "style", "category"]
    subject: Mapping[str, str]
    """cluster_id and category; style_id or product_id; or category."""
    score: float
    """Its scans as a share of all that are open, 0 to 1."""
    scans: float
    """Open gaps that it is likely to close."""
    reasons: tuple[str, ...]
    evidence: Mapping[str, Sequence[str]]
    """scan_ids: up to five of the gaps, sorted."""


def propose(styles: Sequence[Style], gaps: Sequence[OpenGap], rule: DiscoveryRule) -> list[Proposal]:
    """What to import, the most scans first; equal ones by kind and name, thin categories that nobody scans last."""
    by_key = {style.key: style for style in styles}
    shares = _shares(by_key, gaps, rule)
    found = [
        *_things(shares.things, len(gaps)),
        *_few_pictures(by_key, shares.styles, len(gaps)),
        *_categories(styles, shares.categories, len(gaps), rule),
    ]
    kinds = ("thing", "style", "category")
    return sorted(found, key=lambda each: (-each.scans, kinds.index(each.kind), sorted(each.subject.items())))


@dataclass(frozen=True, slots=True)
class _Shares:
    """Gaps and their worths, by what would close them."""

    things: Mapping[str, list[OpenGap]]
    styles: Mapping[Key, list[tuple[OpenGap, float]]]
    categories: Mapping[str, list[tuple[OpenGap, float]]]


def _shares(styles: Mapping[Key, Style], gaps: Sequence[OpenGap], rule: DiscoveryRule) -> _Shares:
    demand = Counter(gap.cluster_id for gap in gaps if gap.cluster_id)
    shares = _Shares(defaultdict(list), defaultdict(list), defaultdict(list))
    for gap in sorted(gaps, key=lambda each: each.scan_id):
        if demand[gap.cluster_id] >= rule.min_demand:
            shares.things[gap.cluster_id].append(gap)
            continue
        near = styles.get(gap.near) if gap.near else None
        of_style = gap.confidence if near is not None and near.pictures < rule.min_pictures else 0.0
        if near is not None and of_style:
            shares.styles[near.key].append((gap, of_style))
        shares.categories[gap.category].append((gap, 1.0 - of_style))
    return shares


def _things(clusters: Mapping[str, Sequence[OpenGap]], total: int) -> Iterator[Proposal]:
    for cluster_id, gaps in clusters.items():
        categories = Counter(gap.category for gap in gaps)
        category = min(categories, key=lambda name: (-categories[name], name))
        reason = f"{len(gaps)} open scans ask for the same thing, {categories[category]} of them as {category}"
        subject = {"cluster_id": cluster_id, "category": category}
        yield Proposal("thing", subject, len(gaps) / total, float(len(gaps)), (reason,), _evidence(gaps))


def _few_pictures(
    styles: Mapping[Key, Style], near: Mapping[Key, Sequence[tuple[OpenGap, float]]], total: int
) -> Iterator[Proposal]:
    for key, weighted in near.items():
        style, scans = styles[key], sum(weight for _, weight in weighted)
        reasons = (
            f"{style.title} has {_number(style.pictures, 'picture')}",
            f"{_number(len(weighted), 'open scan')} came nearest to it, with {scans:.2f} expected to be it",
        )
        gaps = [gap for gap, _ in weighted]
        yield Proposal("style", dict([key]), scans / total, scans, reasons, _evidence(gaps))


def _categories(
    styles: Sequence[Style], left: Mapping[str, Sequence[tuple[OpenGap, float]]], total: int, rule: DiscoveryRule
) -> Iterator[Proposal]:
    products, few = Counter[str](), Counter[str]()
    for style in styles:
        products[style.category] += style.products
        few[style.category] += style.pictures < rule.min_pictures
    counts = Counter(style.category for style in styles)
    middle = median(products[category] for category in CATEGORIES)
    for category in CATEGORIES:
        weighted = left.get(category, ())
        thin = products[category] < rule.thin_share * middle or not products[category]
        if not weighted and not thin:
            continue
        scans = sum(weight for _, weight in weighted)
        reasons = [f"it has {_number(products[category], 'product')}; the median category has {middle:g}"] * thin
        if weighted:
            reasons.append(f"{_number(len(weighted), 'open scan')} of different things, {scans:.2f} of nothing it has")
        if few[category]:
            styles_of = _number(counts[category], "style")
            reasons.append(f"{few[category]} of {styles_of} with fewer than {rule.min_pictures} pictures")
        evidence = _evidence([gap for gap, _ in weighted])
        share = scans / total if total else 0.0
        yield Proposal("category", {"category": category}, share, scans, tuple(reasons), evidence)


def _evidence(gaps: Sequence[OpenGap]) -> Mapping[str, Sequence[str]]:
    return {"scan_ids": sorted(gap.scan_id for gap in gaps)[:5]}


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def discover(catalog: CatalogServiceStub, rule: DiscoveryRule) -> list[Proposal]:
    """What to import into this catalogue. Reads all of its products and the facts of its pictures."""
    products = {product.product_id: product for product in _products(catalog)}
    pictures = Counter(image.product_id for image in _images(catalog))
    of_style: dict[Key, list[Product]] = defaultdict(list)
    for product in products.values():
        of_style[_key(product)].append(product)
    styles = [
        Style(key, own[0].title, own[0].category, len(own), sum(pictures[each.product_id] for each in own))
        for key, own in sorted(of_style.items())
    ]
    fields = ("scan_id", "category", "cluster_id", "replay", "verdict")
    gaps = [
        OpenGap(
            gap.scan_id,
            gap.category,
            gap.cluster_id,
            _key(products[gap.replay.product_id]) if gap.replay.product_id in products else None,
            gap.replay.confidence,
        )
        for gap in listed(catalog, *fields, state=GAP_STATE_OPEN)
        if gap.verdict != VERDICT_RIGHT
    ]
    return propose(styles, gaps, rule)


def _key(product: Product) -> Key:
    return ("style_id", product.style_id) if product.style_id else ("product_id", product.product_id)


def _products(catalog: CatalogServiceStub) -> Iterator[Product]:
    request = catalog_pb2.ListProductsRequest(page_size=_PAGE)
    while True:
        page = catalog.ListProducts(request, timeout=_TIMEOUT)
        yield from page.products
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


def _images(catalog: CatalogServiceStub) -> Iterator[ReferenceImage]:
    request = catalog_pb2.ListReferenceImagesRequest(page_size=_PAGE)
    while True:
        page = catalog.ListReferenceImages(request, timeout=_TIMEOUT)
        yield from page.reference_images
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token
