"""One scan's time: how much is left, where it went, and what was lost on the way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

from shiwu.chassis.errors import DeadlineError, ServiceError

# With less time than this a call cannot finish, and sending it would only burden the peer.
_LEAST_SECONDS: Final = 0.002


class Stage(NamedTuple):
    """Seconds since the scan began, and seconds taken."""

    name: str
    start: float
    elapsed: float


@dataclass(frozen=True, slots=True)
class Missing:
    """A part that did not answer."""

    part: str
    reason: str
    fallback: str


class Progress:
    """Starts with the scan."""

    def __init__(self, seconds: float) -> None:
        """seconds: all the time that the scan may take."""
        self._seconds = seconds
        self._start = time.monotonic()
        self.stages: list[Stage] = []
        self.missing: list[Missing] = []

    def budget(self, limit: float, share: float) -> float:
        """Seconds for one step: at most `limit`, and at most `share` of what is left, so that a step that hangs
        leaves time for what makes up for it. Raises DeadlineError when that is too little.
        """
        seconds = min(limit, share * self._left())
        if seconds < _LEAST_SECONDS:
            msg = f"the scan's time, {self._seconds:.3g} s, is up"
            raise DeadlineError(msg)
        return seconds

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measures what runs inside, also when it fails."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.stages.append(Stage(name, start - self._start, time.monotonic() - start))

    @contextmanager
    def may_lose(self, part: str, fallback: str) -> Iterator[None]:
        """Goes on without what runs inside if that fails, and notes it; but not when the scan's time is up."""
        try:
            yield
        except ServiceError as error:
            if self._left() < _LEAST_SECONDS:
                msg = f"the scan's time, {self._seconds:.3g} s, is up; last was: {error}"
                raise DeadlineError(msg) from error
            self.lost(part, str(error), fallback)

    def lost(self, part: str, reason: str, fallback: str) -> None:
        """Notes a part that did not answer, each once."""
        if all(part != each.part for each in self.missing):
            self.missing.append(Missing(part, reason, fallback))

    def _left(self) -> float:
        return self._start + self._seconds - time.monotonic()
