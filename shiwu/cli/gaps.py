"""`shiwu gaps`: what people scan and the catalogue does not have, by demand; replayed; and what to import next."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Final, get_args

from google.protobuf.field_mask_pb2 import FieldMask
from PIL import Image, ImageDraw, ImageFont, ImageOps
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from offline.indexing import replay as replaying
from offline.indexing.discovery import DiscoveryRule, discover
from offline.indexing.replay import ReplaySettings, Result, listed
from shiwu.cli.connection import connected
from shiwu.v1 import catalog_pb2 as pb
from shiwu.v1.catalog_pb2_grpc import CatalogServiceStub
from shiwu.v1.catalog_resources_pb2 import GAP_STATE_OPEN, VERDICT_WRONG, Gap
from shiwu.v1.gateway_pb2_grpc import GatewayServiceStub

_TIMEOUT: Final = 10.0
_CROPS: Final = 6
"""Of a cluster, in a drawing."""
_TILE, _LABEL = 160, 240
_INK, _PAPER, _NONE = "#111827", "#ffffff", "#e5e7eb"


@dataclass(frozen=True)
class Demand:
    """A cluster of open gaps."""

    cluster_id: str
    demand: int
    categories: str
    """With how many gaps each, most first."""
    last: str
    """When it was last scanned."""
    wrong: int
    """How many of them were answers that were wrong."""


def show(catalog: str, *, category: str, limit: int, draw: Path | None) -> None:
    """Prints open gaps as clusters, the most demand first."""
    console = Console()
    with connected(catalog) as channel:
        stub = CatalogServiceStub(channel)
        clusters = list(islice(_clusters(stub, category), limit))
        table = Table("demand", "category", "last scanned", "called wrong", "cluster")
        for each in clusters:
            wrong = str(each.wrong) if each.wrong else ""
            table.add_row(str(each.demand), each.categories, each.last, wrong, escape(each.cluster_id))
        console.print(table)
        if draw is not None:
            sheet([(each, _crops(stub, each)) for each in clusters]).save(draw)
            console.print(f"drawn: {draw}")


def cluster(catalog: str) -> None:
    """Finds out which gaps ask for the same thing."""
    console = Console()
    with connected(catalog) as channel, console.status("reading gaps") as status:
        stub = CatalogServiceStub(channel)
        count = replaying.cluster(stub, progress=lambda read: status.update(f"{read:,} gaps read"))
    console.print(f"{count:,} clusters")


def replay(catalog: str, gateway: str, run: str, settings: ReplaySettings) -> bool:
    """Replays gaps and prints what that came to; true if all that have a crop were answered."""
    console = Console()
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TextColumn("gaps"), TimeRemainingColumn())
    with connected(catalog) as facts, connected(gateway) as scans, Progress(*columns, console=console) as progress:
        task = progress.add_task("replay", total=None)
        try:
            counts = replaying.replay(
                CatalogServiceStub(facts),
                GatewayServiceStub(scans),
                run,
                settings,
                lambda done, total: progress.update(task, completed=done, total=total),
            )
        except KeyboardInterrupt:
            console.print(f"\nwhat is replayed is kept; go on with: shiwu gaps replay --run {run}")
            return False
    results = get_args(Result)
    table = Table("category", *results, title=f"run {run}", title_justify="left")
    for category in sorted({category for category, _ in counts}):
        table.add_row(category, *(str(counts[category, result]) for result in results))
    table.add_row(
        "all", *(str(sum(counts[c, r] for c, r in counts if r == result)) for result in results), style="bold"
    )
    console.print(table)
    if any(result == "without crop" for _, result in counts):
        console.print("without crop: the gateway kept none; GATEWAY_KEEP_CROPS=true keeps them", style="dim")
    return not any(result in {"undecided", "unanswered"} for _, result in counts)


def propose(catalog: str, limit: int, rule: DiscoveryRule) -> None:
    """Prints what to import next."""
    with connected(catalog) as channel:
        proposals = discover(CatalogServiceStub(channel), rule)
    table = Table("", "scans", "what", "why")
    for rank, each in enumerate(proposals[:limit], 1):
        subject = " ".join(f"{name}={value}" for name, value in each.subject.items())
        table.add_row(
            str(rank), f"{each.scans:.2f}", escape(f"{each.kind}: {subject}"), escape("; ".join(each.reasons))
        )
    Console().print(table)


def sheet(clusters: Sequence[tuple[Demand, Sequence[bytes]]]) -> Image.Image:
    """A row for each cluster, with its newest crops; a gray tile stands for a crop that is not kept."""
    canvas = Image.new("RGB", (_LABEL + _CROPS * _TILE, max(1, len(clusters)) * _TILE), _PAPER)
    draw = ImageDraw.Draw(canvas)
    for row, (each, crops) in enumerate(clusters):
        top = row * _TILE
        draw.text((12, top + 16), f"{each.demand} x", fill=_INK, font=ImageFont.load_default(36))
        draw.text((12, top + 68), each.categories.replace(", ", "\n"), fill=_INK, font=ImageFont.load_default(16))
        for column, crop in enumerate(crops[:_CROPS]):
            tile = Image.new("RGB", (_TILE - 8, _TILE - 8), _NONE)
            if crop:
                tile = ImageOps.pad(Image.open(io.BytesIO(crop)).convert("RGB"), tile.size, color=_PAPER)
            canvas.paste(tile, (_LABEL + column * _TILE + 4, top + 4))
    return canvas


def _clusters(stub: CatalogServiceStub, category: str) -> Iterator[Demand]:
    fields = ("scan_id", "category", "scan_time", "cluster_id", "demand", "verdict")
    gaps = listed(stub, *fields, state=GAP_STATE_OPEN, order_by="demand desc", category=category)
    for _, group in groupby(gaps, key=lambda gap: gap.cluster_id or gap.scan_id):
        yield _demand(list(group))


def _demand(gaps: Sequence[Gap]) -> Demand:
    first = gaps[0]
    categories = Counter(gap.category for gap in gaps).most_common()
    named = ", ".join(name if len(categories) == 1 else f"{name} {count}" for name, count in categories)
    wrong = sum(gap.verdict == VERDICT_WRONG for gap in gaps)
    last = first.scan_time.ToDatetime().isoformat(" ", "minutes")
    return Demand(first.cluster_id or first.scan_id, first.demand, named, last, wrong)


def _crops(stub: CatalogServiceStub, of: Demand) -> list[bytes]:
    """Of its newest open gaps."""
    mask = FieldMask(paths=["crop"])
    request = pb.ListGapsRequest(cluster_id=of.cluster_id, state=GAP_STATE_OPEN, page_size=_CROPS, read_mask=mask)
    return [gap.crop for gap in stub.ListGaps(request, timeout=_TIMEOUT).gaps]
