"""Answers as the contract's messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from services.gateway.answer import Answer, Outcome
from services.gateway.candidates import StyleHit
from services.gateway.cropping import CropSource
from services.gateway.ports import Detected, Scores, Vote
from services.gateway.progress import Progress, Stage
from shiwu.v1 import gateway_pb2 as pb
from shiwu.v1.catalog_pb2 import DescribeResponse, ProductDescription
from shiwu.v1.catalog_resources_pb2 import Product, Style
from shiwu.v1.classifier_pb2 import NeighborShare, VoteResponse
from shiwu.v1.vision_pb2 import CategoryScore, DetectedObject
from shiwu.wire.boxes import from_box

_OUTCOMES: Final[Mapping[Outcome, pb.Outcome]] = {
    "matched": pb.OUTCOME_MATCHED,
    "not_in_catalogue": pb.OUTCOME_NOT_IN_CATALOGUE,
    "undecided": pb.OUTCOME_UNDECIDED,
}
_SOURCES: Final[Mapping[CropSource, pb.CropSource]] = {
    "detected": pb.CROP_SOURCE_DETECTED,
    "centre": pb.CROP_SOURCE_CENTRE,
    "focus": pb.CROP_SOURCE_FOCUS,
    "whole": pb.CROP_SOURCE_WHOLE,
}


def to_response(
    answer: Answer[DescribeResponse], scan_id: str, progress: Progress, *, explain: bool
) -> pb.ScanResponse:
    """The whole answer; with evidence if asked for."""
    return pb.ScanResponse(
        scan_id=scan_id,
        outcome=_OUTCOMES[answer.outcome],
        confidence=answer.confidence,
        objects=[_object(each) for each in answer.choice.objects],
        crop=from_box(answer.choice.box),
        crop_source=_SOURCES[answer.choice.source],
        categories=_scores(answer.categories),
        styles=_styles(answer.styles, answer.facts),
        articles=answer.facts.articles if answer.facts is not None and answer.outcome == "matched" else (),
        missing=[pb.MissingPart(part=e.part, reason=e.reason, fallback=e.fallback) for e in answer.missing],
        evidence=_evidence(answer, progress.stages) if explain else None,
        versions=pb.Versions(
            detector=answer.detector_model, embedder=answer.embedder_model, index_time=answer.index_time
        ),
    )


def _object(each: Detected) -> DetectedObject:
    return DetectedObject(box=from_box(each.box), score=each.score, categories=_scores(each.categories))


def _scores(scores: Scores) -> list[CategoryScore]:
    return [CategoryScore(category=category, score=score) for category, score in scores]


def _styles(styles: Sequence[StyleHit], facts: DescribeResponse | None) -> list[pb.StyleMatch]:
    known = {each.product.product_id: each for each in facts.products} if facts is not None else {}
    return [_style(style, known) for style in styles]


def _style(style: StyleHit, known: Mapping[str, ProductDescription]) -> pb.StyleMatch:
    match = pb.StyleMatch(style=Style(style_id=style.style_id))
    for found in style.products:
        description = known.get(found.product_id)
        product = match.products.add(similarity=found.similarity, image_id=found.image_id)
        if description is None:
            product.product.CopyFrom(Product(product_id=found.product_id))
            continue
        product.product.CopyFrom(description.product)
        product.offers.extend(description.offers)
        if style.style_id and description.style.style_id == style.style_id:
            match.style.CopyFrom(description.style)
    return match


def _evidence(answer: Answer[DescribeResponse], stages: Sequence[Stage]) -> pb.Evidence:
    return pb.Evidence(
        vote=_vote(answer.vote) if answer.vote is not None else None,
        candidates=_candidates(answer),
        stages=[
            pb.StageTime(stage=e.name, start=timedelta(seconds=e.start), elapsed=timedelta(seconds=e.elapsed))
            for e in stages
        ],
        rerank=answer.ranking.mode if answer.ranking is not None else "none",
    )


def _vote(vote: Vote) -> VoteResponse:
    return VoteResponse(
        categories=_scores(vote.categories),
        detector_share=vote.detector_share,
        shares=[NeighborShare(image_id=e.image_id, category=e.category, share=e.share) for e in vote.shares],
    )


def _candidates(answer: Answer[DescribeResponse]) -> list[pb.Candidate]:
    if answer.ranking is None:
        return []
    order, distances = answer.ranking.order.tolist(), answer.ranking.distances.tolist()
    prints = answer.ranking.prints
    proofs = [0.0] * len(order) if prints is None else prints.proofs.tolist()
    return [
        pb.Candidate(
            image_id=answer.candidates[i].image_id,
            product_id=answer.candidates[i].product_id,
            style_id=answer.candidates[i].style_id,
            category=answer.candidates[i].category,
            similarity=answer.candidates[i].similarity,
            rank_before=i + 1,
            rank_after=rank,
            distance=distances[i],
            proof=proofs[i],
        )
        for rank, i in enumerate(order, 1)
    ]
