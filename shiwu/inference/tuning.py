"""What is tuned on validation data for one embedder: the part of its manifest that scans are made by."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from shiwu.inference.frozen import Frozen


class VoteRule(Frozen):
    """Parameters of the weighted category vote (see services/classifier/voting.py)."""

    neighbours: PositiveInt
    detector_weight: float = Field(ge=0.0, le=1.0)
    temperature: float = Field(gt=0.0)
    rank_decay: float = Field(ge=0.0)


class KReciprocalRule(Frozen):
    """Parameters of k-reciprocal re-ranking (see services/gateway/k_reciprocal.py)."""

    kind: Literal["k-reciprocal"] = "k-reciprocal"
    k1: PositiveInt
    k2: PositiveInt
    lambda_: float = Field(ge=0.0, le=1.0, alias="lambda")
    """Weight of the original distance; 1 leaves the order as it was."""
    centre: bool
    """Subtract each domain's mean embedding first."""


class QueryBankRule(Frozen):
    """Parameters of the correction by a bank of past queries (see services/gateway/query_bank.py).

    The bank is the file beside this manifest (see query_bank.py here).
    """

    kind: Literal["query-bank"] = "query-bank"
    neighbours: PositiveInt
    """Past queries nearest to a candidate whose mean similarity is its hubness."""
    weight: float = Field(ge=0.0)
    """How much of its hubness a candidate's similarity loses."""


class QueryExpansionRule(Frozen):
    """Parameters of query expansion (see services/gateway/query_expansion.py)."""

    kind: Literal["query-expansion"] = "query-expansion"
    pictures: PositiveInt
    """Nearest catalogue pictures that are added to the query."""
    alpha: float = Field(ge=0.0)
    """Each weighs its similarity to the power of alpha."""


RerankRule = KReciprocalRule | QueryBankRule | QueryExpansionRule


class AcceptanceRule(Frozen):
    """P(top product is right) is the sigmoid of a weighted sum (see services/gateway/acceptance.py)."""

    bias: float
    similarity: float
    margin: float
    hubness: float = 0.0
    typical_hubness: float = 0.0
    """Hubness counts from here, so that where it is not known it does not count."""
    agreement: float = 0.0
    shared_print: float = 0.0
    threshold: float = Field(ge=0.0, le=1.0)
    """The probability from which on a product is accepted."""
    thresholds: dict[str, float] = Field(default_factory=dict)
    """Per category, where enough was known to set one of its own."""


RegionKind = Literal["detected", "middle", "second", "centre", "whole"]
"""A part of a photo that may show the product: the detector's best box, the middle of the part looked at first, the
detector's next best box, the centre, all of it."""


class RegionScore(Frozen):
    """Weights of the logistic regression that says whether search knows a region (see services/gateway/regions.py)."""

    bias: float
    similarity: float
    margin: float
    score: float
    area: float


class RegionRule(Frozen):
    """How the part of the photo that is searched for is chosen."""

    scores: dict[RegionKind, RegionScore]
    """Kinds that are missing are not looked at; a first region of such a kind is taken as it is."""
    sure: float = Field(ge=0.0, le=1.0)
    """The other regions are not looked at when the first one's probability is at least this."""
    lead: float = Field(ge=0.0, le=1.0)
    """Another region is taken only if its probability exceeds the first one's by more than this."""


class VerificationRule(Frozen):
    """How the prints of the nearest catalogue pictures count (see services/gateway/verification.py)."""

    by: Literal["picture", "style"]
    """What a print tells: which picture shows the photo's product, by its colours too, or only which style does."""
    categories: tuple[str, ...]
    """Pictures of products of these are compared."""
    candidates: int = Field(ge=1, le=100)
    """At most so many pictures, the nearest ones."""
    least: int = Field(ge=0)
    """So many agreeing features prove nothing."""
    enough: int
    """So many prove as much as can be proven; more than `least`."""
    weight: float = Field(ge=0.0)
    """What that is worth, as cosine similarity."""

    @model_validator(mode="after")
    def _enough_exceeds_least(self) -> Self:
        if self.enough <= self.least:
            msg = f"enough is {self.enough}; expected more than least, {self.least}"
            raise ValueError(msg)
        return self


class DomainMeans(Frozen):
    """Mean unit embedding of each side of the gap, measured on training data."""

    photo: tuple[float, ...]
    merchant: tuple[float, ...]


class Tuning(Frozen):
    """What was tuned on validation data for this embedder."""

    vote: VoteRule
    rerank: RerankRule | None = None
    """None: nothing gained without costing something."""
    acceptance: AcceptanceRule
    domains: DomainMeans
    regions: RegionRule | None = None
    """Unset: the first region is taken."""
    verification: tuple[VerificationRule, ...] = ()
    """Each for its own categories; prints of others are not compared."""

    @model_validator(mode="after")
    def _categories_have_one_rule(self) -> Self:
        named = [category for rule in self.verification for category in rule.categories]
        if twice := sorted({category for category in named if named.count(category) > 1}):
            msg = f"verification has more than one rule for {', '.join(twice)}; expected one"
            raise ValueError(msg)
        return self
