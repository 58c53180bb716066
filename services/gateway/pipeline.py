"""One scan: from a photo to the styles found, whatever is lost on the way.

A lost part is made up for where that is possible, and named in the answer:

| lost | instead |
|---|---|
| detector | the centre of the photo, or the caller's focus, is searched |
| embedder, search | nothing can be searched: undecided, with the detector's objects and category |
| these, while other parts of the photo are looked at | the first part's candidates |
| search/SHARD | the other shards are searched |
| classifier | candidates are of the detector's category, or of all |
| a category's own embedder, or its search | the default embedder's candidates |
| rerank: what the embedder was tuned to cannot be used | candidates stay ranked by similarity |
| catalog | prints are not compared, and the answer has ids only |

Two rules keep a lossy answer from being a wrong one. "Not in the catalogue" is said only when every part that could
have found the product has answered; otherwise the outcome is undecided. And where a shard is lost, the best product's
lead does not count for it, for the next best may be in that shard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Generic, TypeVar

from services.gateway.acceptance import probability, signs_of, threshold
from services.gateway.answer import Answer, Peers, Rules
from services.gateway.candidates import grouped, lead, likely_categories, nearest, product_ids, united, vectors
from services.gateway.cropping import choose
from services.gateway.describing import EarlyFacts
from services.gateway.lookup import Found, Lookup, Memory, View
from services.gateway.models import ModelList
from services.gateway.pictures import Picture
from services.gateway.ports import Box, Detection, Scores
from services.gateway.progress import Progress
from services.gateway.ranking import Ranking, by_similarity
from services.gateway.regions import best_of, chosen, is_sure, regions
from services.gateway.tuning import Tunings
from services.gateway.verification import Verifying

F = TypeVar("F")

_BY_SIMILARITY: Final = "ranked by similarity alone"
_NOT_VERIFIED: Final = "did not compare prints"
_IDS_ONLY: Final = "answered with ids only"


class Scanner(Generic[F]):
    """Scans photos."""

    def __init__(self, peers: Peers[F], models: ModelList, tunings: Tunings, rules: Rules) -> None:
        self._peers = peers
        self._tunings = tunings
        self._rules = rules
        self._lookup = Lookup(
            peers.embedder, peers.index, models, tunings, limits=rules.limits, top_k=rules.search_top_k
        )

    async def scan(
        self,
        picture: Picture,
        progress: Progress,
        *,
        top_k: int,
        focus: Box | None = None,
        memory: Memory | None = None,
    ) -> Answer[F]:
        """The answer, with at most top_k styles. Raises DeadlineError when the scan's time is up."""
        answer = await self._detected(picture, focus, progress)
        view = View(picture.pixels, answer.choice.box, memory)
        found = await self._lookup.in_all(view, progress)
        if found is None:
            return answer
        if focus is None and memory is None:  # a box that was asked for stays; a stream looks again anyway
            view, found = await self._looked_further(answer, view, found, progress)
        early = self._asked_early(found, top_k, progress)
        verifying: Verifying | None = None
        try:
            verifying = self._verifying(found, progress)
            await self._voted(answer, found, progress)
            categories = self._candidate_categories(answer)
            found = await self._lookup.in_own(view, categories, found, progress) or found
            _note(answer, found, progress)
            with progress.stage("rerank"):
                self._ranked(answer, found, categories, progress)
            await self._verified(answer, verifying, progress)
            self._decided(answer, found, progress)
            del answer.styles[top_k:]
            await self._described(answer, early, progress)
        finally:
            if early is not None:
                early.abandon()
            if verifying is not None:
                verifying.abandon()
        return answer

    async def _detected(self, picture: Picture, focus: Box | None, progress: Progress) -> Answer[F]:
        rules = self._rules
        instead = "the caller's focus" if focus else f"the centre, {rules.centre_share:.0%} of each side"
        detection = Detection((), "")
        with progress.stage("detect"), progress.may_lose("detector", f"searched for {instead}"):
            seconds = progress.budget(rules.limits.detect, share=0.4)
            detection = await self._peers.detector.detect(picture.small, seconds=seconds)
        choice = choose(detection.objects, focus, focus_iou=rules.focus_iou, centre_share=rules.centre_share)
        categories = _distribution(choice.main.categories) if choice.main else ()
        return Answer(choice, progress.missing, detection.model, categories=categories)

    async def _looked_further(
        self, answer: Answer[F], view: View, found: Found, progress: Progress
    ) -> tuple[View, Found]:
        """The part of the photo that search knows best; the first one, where that is sure, or nothing else answers."""
        rule = self._tunings.of(found.model.id).regions if self._rules.look_further else None
        if rule is None or _search_is_lossy(progress):
            return view, found
        first, *others = regions(answer.choice, self._rules.centre_share, rule.scores)
        if not others or is_sure(first, found.hits, rule):
            return view, found
        with progress.stage("regions"):
            all_found = await self._lookup.in_others(view, [each.box for each in others], found, progress)
        if len(all_found) < len(others):
            return view, found
        if others[0].kind == "middle":  # of the first part: both together stand for it
            first, found = others.pop(0), replace(found, hits=united(found.hits, all_found.pop(0).hits))
        best = best_of([first, *others], [found.hits, *(each.hits for each in all_found)], rule)
        if best == 0:
            return view, found
        answer.choice = chosen(answer.choice, others[best - 1])
        answer.categories = _distribution(answer.choice.main.categories) if answer.choice.main else ()
        return replace(view, box=answer.choice.box), all_found[best - 1]

    def _asked_early(self, found: Found, top_k: int, progress: Progress) -> EarlyFacts[F] | None:
        candidates = nearest(found.hits, self._rules.candidates)
        styles = grouped(candidates, by_similarity([hit.similarity for hit in candidates]))[:top_k]
        products = product_ids(styles)
        if not products:
            return None
        seconds = progress.budget(self._rules.limits.describe, share=0.5)
        return EarlyFacts(self._peers.catalog, products, max_articles=self._rules.max_articles, seconds=seconds)

    def _verifying(self, found: Found, progress: Progress) -> Verifying | None:
        rules = self._tunings.of(found.model.id).verification
        if not rules or not self._rules.verify:
            return None
        seconds = progress.budget(self._rules.limits.compare, share=0.5)
        return Verifying(self._peers.catalog, found.crop, found.hits, rules, seconds=seconds)

    async def _voted(self, answer: Answer[F], found: Found, progress: Progress) -> None:
        """Asks for the vote; without one, the categories stay the detector's."""
        main = answer.choice.main
        scores = main.categories if main else ()
        neighbours = nearest(found.hits, self._tunings.of(found.model.id).neighbours)
        if not neighbours and not answer.categories:
            return
        instead = (
            f"took the detector's category, {answer.categories[0][0]}" if answer.categories else "took all categories"
        )
        with progress.stage("vote"), progress.may_lose("classifier", instead):
            seconds = progress.budget(self._rules.limits.vote, share=0.5)
            answer.vote = await self._peers.voter.vote(scores, neighbours, seconds=seconds)
            answer.categories = answer.vote.categories

    def _candidate_categories(self, answer: Answer[F]) -> list[str]:
        """Where candidates come from, the likeliest first; empty: from all."""
        mass = self._rules.vote_mass if answer.vote else 0.0
        return likely_categories(answer.categories, mass)

    def _ranked(self, answer: Answer[F], found: Found, categories: Sequence[str], progress: Progress) -> None:
        limit = self._rules.candidates
        candidates = nearest(found.hits, limit, categories) or nearest(found.hits, limit)
        tuning = self._tunings.of(found.model.id)
        ranking: Ranking = by_similarity([hit.similarity for hit in candidates])
        if tuning.refusal:
            progress.lost("rerank", tuning.refusal, _BY_SIMILARITY)
        if tuning.reranker is not None and candidates:
            with progress.may_lose("search", _BY_SIMILARITY):
                gallery = vectors(candidates, found.model.dimension)
                ranking = tuning.reranker.rank(found.vector, gallery, ranking)
        answer.candidates, answer.ranking = candidates, ranking

    async def _verified(self, answer: Answer[F], verifying: Verifying | None, progress: Progress) -> None:
        if verifying is None or answer.ranking is None:
            return
        with progress.stage("verify"), progress.may_lose("catalog", _NOT_VERIFIED):
            answer.ranking = await verifying.ranked(answer.candidates, answer.ranking)

    def _decided(self, answer: Answer[F], found: Found, progress: Progress) -> None:
        limit = 1.0
        if answer.candidates and answer.ranking is not None:
            answer.styles = grouped(answer.candidates, answer.ranking)
            best = answer.styles[0].products[0]
            rule = self._tunings.of(found.model.id).acceptance
            signs = signs_of(
                answer.ranking,
                [candidate.product_id for candidate in answer.candidates],
                similarity=best.similarity,
                margin=lead(best, found.hits),
                complete=not _search_is_lossy(progress),
            )
            answer.confidence = probability(signs, rule)
            limit = threshold(best.category, rule)
        if answer.styles and answer.confidence >= limit:
            answer.outcome = "matched"
        elif all(each.part == "rerank" for each in progress.missing):  # the product would have been found without
            answer.outcome = "not_in_catalogue"

    async def _described(self, answer: Answer[F], early: EarlyFacts[F] | None, progress: Progress) -> None:
        products = product_ids(answer.styles)
        if not products:
            return
        with progress.stage("describe"), progress.may_lose("catalog", _IDS_ONLY):
            if early is not None and early.cover(products):
                answer.facts = await early.get()
                return
            seconds = progress.budget(self._rules.limits.describe, share=0.9)
            articles = self._rules.max_articles
            answer.facts = await self._peers.catalog.describe(products, max_articles=articles, seconds=seconds)


def _note(answer: Answer[F], found: Found, progress: Progress) -> None:
    answer.embedder_model = found.model.id
    answer.crop, answer.vector = found.crop, found.vector
    answer.index_time = None if _search_is_lossy(progress) else found.time


def _search_is_lossy(progress: Progress) -> bool:
    return any(each.part.startswith("search") for each in progress.missing)


def _distribution(scores: Scores) -> Scores:
    """Independent scores as a distribution; empty if all are 0."""
    total = sum(score for _, score in scores)
    return [(category, score / total) for category, score in scores if score > 0.0] if total > 0.0 else ()
