"""What a site lets robots do: robots.txt (RFC 9309), and what single pages say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from protego import Protego

from offline.indexing.crawl.sites import ROBOT

MAX_BYTES: Final = 500 << 10
"""Of robots.txt; the rest is not read, as the RFC allows."""


@dataclass(frozen=True, slots=True)
class RobotsFile:
    """A site's robots.txt, or what was answered instead."""

    status: int
    """0: nothing was answered."""
    text: str = ""
    """The file; of status 0 why there is none."""
    time: float = 0.0
    """When it was asked for, seconds since 1970."""


class Rules:
    """What robots.txt says to us."""

    def __init__(self, file: RobotsFile) -> None:
        self.refusal = ""
        """Why nothing may be crawled."""
        # RFC 9309, 2.3.1: what is not there forbids nothing; what cannot be had now forbids everything.
        if file.status == 429 or not 200 <= file.status < 500:
            why = f"was answered with status {file.status}" if file.status else f"cannot be had: {file.text}"
            self.refusal = f"robots.txt {why}"
        self._rules = Protego.parse(file.text if file.status == 200 else "")

    def allow(self, url: str) -> bool:
        """Whether we may ask for this address."""
        return bool(self._rules.can_fetch(url, ROBOT))

    @property
    def delay(self) -> float:
        """Seconds between requests; 0 if it does not say."""
        rate = self._rules.request_rate(ROBOT)
        return max(self._rules.crawl_delay(ROBOT) or 0.0, rate.seconds / rate.requests if rate else 0.0)

    @property
    def sitemaps(self) -> list[str]:
        return list(self._rules.sitemaps)


def directives(values: Iterable[str]) -> frozenset[str]:
    """What a page's robots meta elements or X-Robots-Tag headers say to us: noindex, nofollow, none."""
    found: set[str] = set()
    for value in values:
        to, colon, rest = value.partition(":")
        if colon and to.strip().lower() not in (ROBOT, "*") and "," not in to:
            continue  # "otherbot: noindex"
        found |= {part.strip().lower() for part in (rest if colon else value).split(",")}
    return frozenset(found | ({"noindex", "nofollow"} if "none" in found else set()))
