"""How much of everything a catalogue needs, and what fan-out does to the slowest searches.

    python -m evaluation.capacity [--scans-per-second 100] [--gpu-scans-per-second N] ...

The first table is arithmetic from what evaluation.store_speed measured (store_speed.json) and from the assumptions
that the options name, each with its default; the second one is a simulation of searches that ask several shards at
once, with the measured times of one. docs/capacity.md is its output, with the arithmetic explained.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.store_speed import FILE
from shiwu.categories import CATEGORIES
from shiwu.vision.local_features import USUAL

Times = NDArray[np.float64]
"""Milliseconds, one for each search."""
GB = 1e9


@dataclass(frozen=True)
class Assumptions:
    """What was not measured here. Prices are round figures in US dollars an hour, for comparing, not for a budget."""

    scans_per_second: float = 100.0
    """At the busiest time."""
    busy: float = 0.5
    """Average load, as a share of the busiest."""
    node_gb: float = 64.0
    """Memory of a query node."""
    fill: float = 0.7
    """Share of a node's memory that pictures may take; the rest is for building, growth and Go's garbage."""
    replicas: int = 2
    shard_pictures: float = 200e6
    """More pictures than this are split over Milvus servers, by category."""
    core_ms_per_scan: float = 60.0
    """CPU time of a scan without Milvus, models on CPU."""
    gpu_scans_per_second: float = 300.0
    """Scans that one GPU detects and embeds. No GPU was measured."""
    core_price: float = 0.04
    gb_price: float = 0.005
    disk_price: float = 0.00014
    """Of a GB, for an hour."""
    gpu_price: float = 0.60


def row(pictures: float, given: Assumptions, size: dict[str, Any]) -> dict[str, float]:
    """What a catalogue of so many pictures needs."""
    memory = pictures * size["memory_bytes_per_picture"] / GB
    disk = pictures * size["disk_bytes_per_picture"] / GB
    nodes = given.replicas * math.ceil(memory / (given.node_gb * given.fill))
    shards = min(len(CATEGORIES), max(1, math.ceil(pictures / given.shard_pictures)))
    # Every query node searches its part of the vectors, so their work adds up; it grows with the logarithm of a part.
    parts = nodes / given.replicas
    growth = math.log(max(2.0, pictures / parts)) / math.log(size["pictures"])
    search_ms = size["cpu_ms_per_search"] * growth * parts
    search_cores = given.scans_per_second * search_ms / 1000
    gpus = math.ceil(given.scans_per_second / given.gpu_scans_per_second)
    cores = math.ceil(given.scans_per_second * given.core_ms_per_scan / 1000)
    hourly = (
        nodes * given.node_gb * given.gb_price
        + (max(search_cores, nodes) + cores) * given.core_price
        + disk * given.disk_price
    )
    scans = given.scans_per_second * given.busy * 3600
    return {
        "pictures": pictures,
        "memory GB": memory * given.replicas,
        "disk GB": disk,
        "SQL GB": pictures * (USUAL + 4 * size["dimension"]) / GB,
        "shards": shards,
        "query nodes": nodes,
        "search cores": search_cores,
        "other cores": cores,
        "or GPUs": gpus,
        "$ / 1,000 scans, CPU": 1000 * hourly / scans,
    }


def fan_out(times: Times, shards: int, *, searches: int, seed: int = 0) -> Times:
    """Times of searches that wait for the slowest of so many shards, each drawn from `times`."""
    slowest: Times = np.random.default_rng(seed).choice(times, (searches, shards)).max(axis=1)
    return slowest


def hedged_fan_out(
    times: Times, shards: int, *, searches: int, share: float, quantile: float = 0.95, seed: int = 0
) -> tuple[Times, float]:
    """the same when one that has not answered after the quantile is asked again, as services/search/hedging.py does.

    share: of calls that may be repeated; which of the slow ones are is left to chance, as it is there. The second
    answer comes from elsewhere, so its time is drawn anew. Returns the times and the share of calls repeated.
    """
    rng = np.random.default_rng(seed)
    first = rng.choice(times, (searches, shards))
    patience = np.quantile(times, quantile)
    slow = first > patience
    allowed = share * first.size / max(1, int(slow.sum()))
    repeated = slow & (rng.random(first.shape) < allowed)
    second = patience + rng.choice(times, first.shape)
    return np.where(repeated, np.minimum(first, second), first).max(axis=1), float(repeated.mean())


def with_pauses(times: Times, share: float, pause: float) -> Times:
    """Of these times a share longer by a pause (ms): one replica that collects garbage, compacts, or shares a core."""
    late = np.arange(times.size) % round(1 / share) == 0
    paused: Times = np.random.default_rng(1).permutation(times) + pause * late
    return paused


def _print_table(rows: list[dict[str, float]]) -> None:
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + "---|" * len(rows[0]))
    for each in rows:
        cells = [f"{value:,.4f}" if "$" in key else f"{value:,.1f}" if value < 10 and value % 1 else f"{value:,.0f}"
                 for key, value in each.items()]  # fmt: skip
        print("| " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = Assumptions()
    for name in Assumptions.__dataclass_fields__:
        value = getattr(defaults, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help="(%(default)s)")
    parser.add_argument("--pictures", type=float, nargs="+", default=[1e6, 1e8, 1e9])
    parser.add_argument("--file", type=Path, default=FILE)
    options = vars(parser.parse_args())
    pictures, measured = options.pop("pictures"), json.loads(options.pop("file").read_text())
    size = measured["sizes"][-1] | {"dimension": measured["dimension"]}
    print(f"measured {measured['date']} on {measured['machine']}, Milvus {measured['milvus']}, {size['pictures']:,}")
    print(f"pictures: p50 {size['p50_ms']} ms, p95 {size['p95_ms']} ms, p99 {size['p99_ms']} ms, ", end="")
    print(f"CPU {size['cpu_ms_per_search']} ms a search\n")
    _print_table([row(each, Assumptions(**options), size) for each in pictures])
    print()
    times = np.asarray(size["quantiles_ms"])
    rows = []
    for pause in (0.0, 100.0):
        drawn = with_pauses(np.repeat(times, 10), 0.02, pause)
        for shards in (1, 4, 11, 40):
            plain = fan_out(drawn, shards, searches=100_000)
            hedged, again = hedged_fan_out(drawn, shards, searches=100_000, share=0.05)
            found = {f"{kind} p{100 * q:g}": float(np.quantile(each, q)) for kind, each in
                     (("plain", plain), ("hedged", hedged)) for q in (0.5, 0.95, 0.99, 0.999)}  # fmt: skip
            rows.append({"pause ms": pause, "shards": float(shards), **found, "% asked again": 100 * again})
    _print_table(rows)


if __name__ == "__main__":
    main()
