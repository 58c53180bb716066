"""`shiwu shards`: what the shards hold, whether that is what the catalogue says, and moving categories between them."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from services.search.shards import Move, ShardMap, ShardMapError, read_shard_map
from shiwu.cli.connection import InputError, connected
from shiwu.cli.index_check import Findings, check, repair
from shiwu.v1 import search_pb2 as pb
from shiwu.v1.search_pb2_grpc import SearchServiceStub

_TIMEOUT = 10.0
_PRUNE_TIMEOUT = 3600.0
_SHOWN = 10


def show(search: str) -> bool:
    """Prints the shards; true when all of them answer."""
    with connected(search) as channel:
        answer = SearchServiceStub(channel).DescribeShards(pb.DescribeShardsRequest(), timeout=_TIMEOUT)
    columns = ("shard", "categories", "endpoint", "model", "pictures", "p50 ms", "p95 ms", "")
    table = Table(*columns, title="shards", title_justify="left")
    for shard in answer.shards:
        about = (shard.name, ", ".join(shard.categories), shard.endpoint)
        times = (f"{shard.p50_ms:.1f}", f"{shard.p95_ms:.1f}") if shard.p50_ms else ("", "")
        if shard.HasField("error"):
            table.add_row(*about, "", "", *times, f"[red]{shard.error.message}[/]")
        elif not shard.indexes:
            table.add_row(*about, "", "0", *times, "empty")
        for index in shard.indexes:
            state = "[green]serving[/]" if index.serving else "retiring" if index.retiring else "built beside"
            table.add_row(*about, index.model, f"{index.images:,}", *times, state)
    console = Console()
    console.print(table)
    for move in answer.moves:
        console.print(f"{move.category} is on its way from {move.source} to {move.target}: {move.phase}")
    return not any(shard.HasField("error") for shard in answer.shards)


def verify(search: str, catalog: str, *, repairing: bool) -> bool:
    """Compares the shards with the catalogue; true when they agree, or do now."""
    console = Console()
    with connected(search) as to_search, connected(catalog) as to_catalog:
        findings = check(to_search, to_catalog, console)
        _print(console, findings)
        if findings.wrong and repairing:
            repair(to_catalog, findings, console)
            findings = check(to_search, to_catalog, console)
            _print(console, findings)
    return not findings.wrong


def _print(console: Console, findings: Findings) -> None:
    console.print(
        f"{findings.images:,} pictures: {len(findings.missing):,} missing in the index, "
        f"{len(findings.misplaced):,} not exactly where they belong, {len(findings.unknown):,} in the index only, "
        f"{findings.pending:,} waiting to be indexed"
    )
    for image_id in findings.wrong[:_SHOWN]:
        console.print(f"  {image_id}", markup=False)


def add(path: Path, name: str, endpoint: str, categories: list[str]) -> None:
    """Puts a new shard into the map, with the categories on their way to it."""
    shards = _read(path)
    homes = {category: shard.name for shard in shards.shards for category in shard.categories}
    unknown = [category for category in categories if category not in homes]
    if unknown:
        msg = f"{', '.join(unknown)}: no such category; expected some of {', '.join(homes)}"
        raise InputError(msg)
    document = shards.model_dump(mode="json")
    document["shards"].append({"name": name, "categories": [], "endpoint": endpoint})
    document["moves"] += [_move(category, homes[category], name) for category in categories]
    _write(path, document)


def drain(path: Path, name: str, to: str) -> None:
    """Sets all categories of a shard on their way to another one."""
    shards = _read(path)
    leaving = [category for shard in shards.shards if shard.name == name for category in shard.categories]
    if not leaving:
        msg = f"no shard {name!r} with categories; there is {', '.join(shard.name for shard in shards.shards)}"
        raise InputError(msg)
    document = shards.model_dump(mode="json")
    document["moves"] += [_move(category, name, to) for category in leaving]
    _write(path, document)


def advance(path: Path, search: str, catalog: str) -> None:
    """Takes every move of the map to its next phase, if all search services are in this one and it is complete."""
    shards = _read(path)
    if not shards.moves:
        msg = f"nothing is being moved in {path}"
        raise InputError(msg)
    for address in addresses(search):
        _check_rolled(address, shards)
    phases = {move.phase for move in shards.moves}
    console = Console()
    if "copying" in phases and not verify(search, catalog, repairing=False):
        msg = "the index is not what the catalogue says; `shiwu shards verify --repair` first"
        raise InputError(msg)
    if "clearing" in phases:
        with connected(search) as channel:
            SearchServiceStub(channel).PruneShards(pb.PruneShardsRequest(), timeout=_PRUNE_TIMEOUT)
    _write(path, _advanced(shards))
    for move in shards.moves:
        console.print(f"{move.category}, from {move.source} to {move.target}: {_AFTER[move.phase] or 'done'}")


_AFTER: Mapping[str, str] = {"announced": "copying", "copying": "switched", "switched": "clearing", "clearing": ""}


def _advanced(shards: ShardMap) -> dict[str, list[dict[str, object]]]:
    document = shards.model_dump(mode="json")
    for move in shards.moves:
        if move.phase == "copying":
            for shard in document["shards"]:
                if shard["name"] == move.source:
                    shard["categories"].remove(move.category)
                elif shard["name"] == move.target:
                    shard["categories"].append(move.category)
    document["moves"] = [
        move.model_dump() | {"phase": _AFTER[move.phase]} for move in shards.moves if _AFTER[move.phase]
    ]
    moving = {move[end] for move in document["moves"] for end in ("source", "target")}
    document["shards"] = [each for each in document["shards"] if each["categories"] or each["name"] in moving]
    return document


def _check_rolled(address: str, shards: ShardMap) -> None:
    with connected(address) as channel:
        answer = SearchServiceStub(channel).DescribeShards(pb.DescribeShardsRequest(), timeout=_TIMEOUT)
    there = {(move.category, move.source, move.target, move.phase) for move in answer.moves}
    if there != {(move.category, move.source, move.target, move.phase) for move in shards.moves}:
        msg = f"search at {address} runs another shard map than this one; restart it with this one first"
        raise InputError(msg)


def addresses(target: str) -> list[str]:
    """All servers behind host:port, or ipv4:host:port,host:port."""
    if target.startswith("ipv4:"):
        return target.removeprefix("ipv4:").split(",")
    host, _, port = target.removeprefix("dns:///").rpartition(":")
    try:
        found = socket.getaddrinfo(host, int(port), socket.AF_INET, socket.SOCK_STREAM)
    except (OSError, ValueError) as error:
        msg = f"{target}: {error}"
        raise InputError(msg) from error
    return sorted({f"{socket.inet_ntoa(socket.inet_aton(str(place[0])))}:{port}" for *_, place in found})


def _move(category: str, source: str, target: str) -> dict[str, object]:
    return Move(category=category, source=source, target=target).model_dump()


def _read(path: Path) -> ShardMap:
    try:
        return read_shard_map(path)
    except ShardMapError as error:
        raise InputError(str(error)) from error


def _write(path: Path, document: Mapping[str, object]) -> None:
    """Replaces the map in one step, if it is a map."""
    try:
        ShardMap.model_validate(document)
    except ValueError as error:
        raise InputError(str(error)) from error
    new = path.with_name(f"{path.name}.new")
    new.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    new.replace(path)
