"""An answer in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.duration_pb2 import Duration
from google.type.money_pb2 import Money
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from shiwu.v1 import gateway_pb2 as pb
from shiwu.v1.catalog_resources_pb2 import Offer

_SIMILAR_SHOWN = 3


def print_answer(console: Console, answer: pb.ScanResponse) -> None:
    """What it is, who sells it, what else is like it, and what was missing."""
    category = answer.categories[0] if answer.categories else None
    kind = f"{category.category} ({category.score:.0%} of the vote)" if category else "category unknown"
    match answer.outcome:
        case pb.OUTCOME_MATCHED:
            style = answer.styles[0]
            best = style.products[0]
            title = best.product.title or best.product.product_id
            console.print(f"[bold green]{escape(title)}[/]  {escape(best.product.brand)}")
            console.print(f"{kind} · {answer.confidence:.0%} sure · similarity {best.similarity:.2f}")
            for product in style.products:
                _print_offers(console, product)
            _print_similar(console, answer.styles[1:], "similar, but not the same")
        case pb.OUTCOME_NOT_IN_CATALOGUE:
            console.print("[bold yellow]not in the catalogue[/]")
            console.print(f"{kind} · the best candidate is the same product with {answer.confidence:.0%}")
            _print_similar(console, answer.styles, "similar")
        case _:
            console.print("[bold red]undecided: too much is missing to tell[/]")
            console.print(kind)
            _print_similar(console, answer.styles, "similar, as far as could be searched")
    for article in answer.articles:
        console.print(f"[cyan]about[/] {escape(article.title)}  {escape(article.url)}")
    for part in answer.missing:
        console.print(f"[yellow]missing[/] {part.part}: {escape(part.reason)}; {escape(part.fallback)}")


def print_evidence(console: Console, answer: pb.ScanResponse) -> None:
    """Boxes, votes, candidates and times."""
    boxes = Table("box", "category", "score", title="found in the photo", title_justify="left")
    for found in answer.objects:
        box = found.box
        corner = f"{box.x_min:.2f} {box.y_min:.2f} to {box.x_max:.2f} {box.y_max:.2f}"
        boxes.add_row(corner, found.categories[0].category if found.categories else "", f"{found.score:.2f}")
    console.print(boxes)

    evidence = answer.evidence
    votes = Table("voter", "category", "share", title="vote", title_justify="left")
    votes.add_row("detector", "", f"{evidence.vote.detector_share:.1%}")
    for share in evidence.vote.shares:
        votes.add_row(escape(share.image_id), share.category, f"{share.share:.1%}")
    console.print(votes)

    candidates = Table("rank", "before", "picture", "product", "similarity", "print", "distance", title_justify="left")
    candidates.title = f"candidates (re-ranked: {evidence.rerank})"
    for c in evidence.candidates[:20]:
        row = (str(c.rank_after), str(c.rank_before), escape(c.image_id), escape(c.product_id))
        candidates.add_row(*row, f"{c.similarity:.3f}", f"{c.proof:.2f}", f"{c.distance:.3f}")
    console.print(candidates)

    times = Table("stage", "from", "ms", title="time", title_justify="left")
    for stage in evidence.stages:
        times.add_row(stage.stage, f"{_milliseconds(stage.start):.1f}", f"{_milliseconds(stage.elapsed):.1f}")
    console.print(times)
    console.print(f"{answer.versions.detector} · {answer.versions.embedder} · scan {answer.scan_id}")


def price(money: Money) -> str:
    """As people write it: "12.90 EUR"."""
    return f"{money.units + money.nanos / 1e9:,.2f} {money.currency_code}"


def _print_offers(console: Console, match: pb.ProductMatch) -> None:
    title = escape(match.product.title or match.product.product_id)
    if not match.offers:
        console.print(f"  {title}: no offers")
        return
    table = Table("merchant", "price", "", "", title=f"  {title}", title_justify="left", box=None)
    for offer in match.offers:
        table.add_row(escape(offer.merchant), price(offer.price), _availability(offer), escape(offer.url))
    console.print(table)


def _availability(offer: Offer) -> str:
    return "" if offer.available else "[yellow]sold out[/]"


def _print_similar(console: Console, styles: Sequence[pb.StyleMatch], heading: str) -> None:
    for style in styles[:_SIMILAR_SHOWN]:
        best = style.products[0]
        title = escape(style.style.title or best.product.title or best.product.product_id)
        offers = f" from {price(best.offers[0].price)}" if best.offers else ""
        console.print(f"[dim]{heading}:[/] {title} (similarity {best.similarity:.2f}){offers}")


def _milliseconds(duration: Duration) -> float:
    return duration.seconds * 1e3 + duration.nanos / 1e6
