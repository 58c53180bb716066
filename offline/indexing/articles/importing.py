"""Brings the articles of a file into the catalogue.

An article that the catalogue has as the source says is read, not written, so doing it again is cheap and does no harm.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final, Literal

from tqdm import tqdm

from offline.indexing.articles.catalogue import Catalogue, linked, links, stated
from offline.indexing.articles.ledger import Ledger, identity
from offline.indexing.articles.opening import kind_of, opened
from offline.indexing.articles.reading import Outcome, Reader, ReadSettings
from offline.indexing.articles.records import Problem, Skipped, SourceArticle
from shiwu.chassis.errors import AlreadyExistsError, InvalidInputError, NotFoundError
from shiwu.v1.catalog_resources_pb2 import Article

_BATCH: Final = 100
_AT_ONCE: Final = 8
"""Calls under way."""
_PLAIN: Final[tuple[str, ...]] = ("title", "body", "url", "category")


async def import_file(path: Path, catalogue: Catalogue, folder: Path, settings: ReadSettings) -> Ledger:
    """Imports a file, from where its last import in `folder` was stopped. Shows a progress bar.

    Raises OSError and ValueError for a file that cannot be used, and a ServiceError when the catalogue does not answer.
    """
    kind = kind_of(path)
    ledger = Ledger(folder, identity(path, settings.model_dump(include={"namespaces", "category"})))
    reader = Reader(settings)
    try:
        with opened(path) as (content, raw), tqdm(unit="B", unit_scale=True, desc="articles") as bar:
            bar.total = os.fstat(raw.fileno()).st_size
            records = reader.records(kind, content)
            for _ in islice(records, ledger.records):
                pass
            while batch := list(islice(records, _BATCH)):
                outcomes = await asyncio.to_thread(reader.outcomes, batch)
                counts, problems = await write(outcomes, ledger.records + 1, catalogue)
                ledger.add(len(batch), counts, problems)
                bar.set_postfix(ledger.counts, refresh=False)
                bar.update(raw.tell() - bar.n)
    finally:
        reader.close()
    ledger.finish()
    return ledger


async def write(outcomes: Sequence[Outcome], first: int, catalogue: Catalogue) -> tuple[Counter[str], list[Problem]]:
    """Writes the articles among the outcomes of records from number `first` on; the later of two with one key counts.

    Returns how many of each kind there were, and the problems by their record.
    """
    counts: Counter[str] = Counter()
    problems = [each for each in outcomes if isinstance(each, Problem)]
    versions: defaultdict[str, list[tuple[int, SourceArticle]]] = defaultdict(list)
    for record, outcome in enumerate(outcomes, first):
        if isinstance(outcome, Skipped):
            counts[outcome.reason] += 1
        elif isinstance(outcome, SourceArticle):
            versions[outcome.article_id].append((record, outcome))
    gate = asyncio.Semaphore(_AT_ONCE)

    async def put_all(records: list[tuple[int, SourceArticle]]) -> None:
        async with gate:
            for record, source in records:
                try:
                    counts[await put(source, catalogue)] += 1
                except (InvalidInputError, NotFoundError) as error:
                    problems.append(Problem(record, source.article_id, str(error)))

    try:
        async with asyncio.TaskGroup() as tasks:
            for records in versions.values():
                tasks.create_task(put_all(records))
    except ExceptionGroup as group:
        raise group.exceptions[0] from group
    counts["problems"] = len(problems)
    return counts, sorted(problems, key=lambda problem: problem.record)


async def put(source: SourceArticle, catalogue: Catalogue) -> Literal["added", "changed", "unchanged"]:
    """Makes the catalogue say what the source says. Raises InvalidInputError, NotFoundError (of its products)."""
    known = await catalogue.get_article(source.article_id)
    if known is None:
        try:
            await catalogue.create_article(Article(**source.model_dump()))
        except AlreadyExistsError:  # somebody was faster, or our first try had come through
            known = await catalogue.get_article(source.article_id)
        if known is None:
            return "added"
    said = source.model_fields_set
    wanted = Article(article_id=source.article_id)
    paths = [name for name in _PLAIN if name in said and getattr(source, name) != getattr(known, name)]
    for name in paths:
        setattr(wanted, name, getattr(source, name))
    if "product_ids" in said and set(source.product_ids) != set(stated(known)):
        found = {key: score for key, score in links(known).items() if score < 1}
        wanted.MergeFrom(linked(source.article_id, source.product_ids, found))
        paths += ["product_ids", "product_scores"]
    if not paths:
        return "unchanged"
    await catalogue.update_article(wanted, *paths)
    return "changed"
