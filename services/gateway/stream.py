"""A camera's frames in, events out.

- Only the newest frame waits while one is being scanned; those that it replaces are skipped as BEHIND.
- A frame whose dHash differs in at most `still_bits` of 64 from that of the last scanned one is skipped as STILL:
  scanning it would bring the same answer, unless a part was missing from that one.
- Evidence adds up in the vector that is searched for: the mean of the unit vectors of the last `window` frames, made
  unit length again. What frames disagree on (blur, light, background) averages out; the product stays. A frame whose
  vector has a cosine below `agree_at` to the mean so far shows something else, and everything starts anew with it.
- The answer is certain, and the stream ends, when `agreeing` frames in a row led to the same product, the last of
  them with a confidence of at least `certain_at`. A still frame agrees with the one that it looks like.
- A frame that finds the gateway overloaded is skipped as BEHIND, too; if no frame was ever scanned, that is the error.
- When no more frames come, the best answer for what was last looked at is the final one: a match before others, whole
  answers before partial ones, then by confidence, then the later.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Generic, Literal, NamedTuple, TypeVar

import numpy as np

from services.gateway.answer import Answer
from services.gateway.pictures import Picture
from services.gateway.ports import Vector
from services.gateway.progress import Progress
from shiwu.chassis.errors import DeadlineError, InvalidInputError, OverloadedError
from shiwu.vision.hashes import dhash, hamming

F = TypeVar("F")


@dataclass(frozen=True, slots=True)
class StreamRules:
    """See the module."""

    certain_at: float = 0.9
    agreeing: int = 2
    still_bits: int = 5
    agree_at: float = 0.6
    window: int = 8
    idle_seconds: float = 30.0
    """The stream ends when no frame came for so long."""


class Frame(NamedTuple):
    """A frame as it came."""

    number: int
    read: Callable[[Progress], Awaitable[Picture]]
    """Decodes it; raises InvalidInputError."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A frame was not scanned."""

    number: int
    reason: Literal["still", "behind"]


@dataclass(frozen=True, slots=True)
class Told(Generic[F]):
    """The answer so far, or the last one."""

    number: int
    answer: Answer[F]
    progress: Progress
    final: bool


class FrameMemory:
    """Fuses the vectors of frames that show the same thing, see the module."""

    def __init__(self, agree_at: float, window: int) -> None:
        self._agree_at = agree_at
        self._window = window
        self._seen: dict[str, deque[Vector]] = {}
        self.turned = False
        """Whether the last vector showed something else than those before."""

    def recall(self, model: str, vector: Vector) -> Vector:
        seen = self._seen.setdefault(model, deque(maxlen=self._window))
        if seen and float(_mean(seen) @ vector) < self._agree_at:
            self._seen = {model: (seen := deque(maxlen=self._window))}
            self.turned = True
        seen.append(vector)
        return _mean(seen)


Scan = Callable[[Picture, Progress, FrameMemory], Awaitable[Answer[F]]]


class StreamScan(Generic[F]):
    """One stream."""

    def __init__(self, scan: Scan[F], new_progress: Callable[[], Progress], rules: StreamRules) -> None:
        self._scan = scan
        self._new_progress = new_progress
        self._rules = rules
        self._memory = FrameMemory(rules.agree_at, rules.window)
        self._inbox = _Inbox(rules.idle_seconds)
        self._last_hash: int | None = None
        self._last: Told[F] | None = None
        self._best: Told[F] | None = None
        self._agreeing = 0
        self._refused: OverloadedError | None = None

    async def events(self, frames: AsyncIterator[Frame]) -> AsyncGenerator[Skipped | Told[F], None]:
        """Until the answer is certain, or the frames end, or none comes in time.

        Raises what reading a frame raises, and, if no frame was scanned when the stream ends, OverloadedError if they
        were refused, InvalidInputError (DeadlineError) if there was none (it idles).
        """
        reader = asyncio.create_task(self._inbox.fill(frames), name="frames")
        try:
            while (frame := await self._inbox.next()) is not None:
                for number in self._inbox.replaced():
                    yield Skipped(number, "behind")
                event = await self._seen(frame)
                yield event
                if isinstance(event, Told) and event.final:
                    return
            yield self._last_word()
        finally:
            reader.cancel()

    async def _seen(self, frame: Frame) -> Skipped | Told[F]:
        progress = self._new_progress()
        picture = await frame.read(progress)
        looks = dhash(picture.small)
        if self._last is not None and self._is_still(looks):
            self._agreeing += 1
            if self._is_certain(self._last.answer):
                return replace(self._last, number=frame.number, final=True)
            return Skipped(frame.number, "still")
        self._memory.turned = False
        try:
            answer = await self._scan(picture, progress, self._memory)
        except OverloadedError as error:
            self._refused = error
            return Skipped(frame.number, "behind")
        self._note(answer, looks)
        self._last = Told(frame.number, answer, progress, final=self._is_certain(answer))
        if self._best is None or _worth(answer) >= _worth(self._best.answer):
            self._best = self._last
        return self._last

    def _is_still(self, looks: int) -> bool:
        return self._last_hash is not None and hamming(looks, self._last_hash) <= self._rules.still_bits

    def _note(self, answer: Answer[F], looks: int) -> None:
        before = self._last.answer if self._last else None
        agrees = before is not None and not self._memory.turned and _product(before) == _product(answer)
        self._agreeing = self._agreeing + 1 if agrees else 1
        self._last_hash = None if answer.missing else looks
        if self._memory.turned:
            self._best = None

    def _is_certain(self, answer: Answer[F]) -> bool:
        enough = answer.outcome == "matched" and answer.confidence >= self._rules.certain_at
        return enough and self._agreeing >= self._rules.agreeing

    def _last_word(self) -> Told[F]:
        best = self._best
        if best is not None:
            return replace(best, final=True)
        if self._refused is not None:
            raise self._refused
        if self._inbox.idle:
            msg = f"no frame came within {self._rules.idle_seconds:g} s"
            raise DeadlineError(msg)
        msg = "the stream ended before the first frame; send at least one"
        raise InvalidInputError(msg, field="frame")


class _Inbox:
    """Holds the newest frame only."""

    def __init__(self, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._frame: Frame | None = None
        self._replaced: list[int] = []
        self._arrived = asyncio.Event()
        self._end: BaseException | None = None
        self._ended = False
        self.idle = False
        """Whether the wait for a frame was given up."""

    async def fill(self, frames: AsyncIterator[Frame]) -> None:
        """Reads all frames."""
        try:
            async for frame in frames:
                if self._frame is not None:
                    self._replaced.append(self._frame.number)
                self._frame = frame
                self._arrived.set()
        except Exception as error:  # next() raises it where it is awaited
            self._end = error
        finally:
            self._ended = True
            self._arrived.set()

    async def next(self) -> Frame | None:
        """The newest frame; None when no more come. Raises what the frames raised, after the frames before."""
        while self._frame is None:
            if self._end is not None:
                raise self._end
            if self._ended:
                return None
            self._arrived.clear()
            try:
                async with asyncio.timeout(self._idle_seconds):
                    await self._arrived.wait()
            except TimeoutError:
                self.idle = True
                return None
        frame, self._frame = self._frame, None
        return frame

    def replaced(self) -> list[int]:
        """Numbers of frames that newer ones have replaced since the last call."""
        numbers, self._replaced = self._replaced, []
        return numbers


def _mean(vectors: deque[Vector]) -> Vector:
    total: Vector = np.sum(vectors, axis=0, dtype=np.float32)
    length = float(np.linalg.norm(total))
    # Opposite vectors add up to nothing; then the newest is as good as any.
    return (total / np.float32(length)).astype(np.float32) if length > 1e-6 else vectors[-1]


def _product(answer: Answer[F]) -> str | None:
    return answer.styles[0].products[0].product_id if answer.styles else None


def _worth(answer: Answer[F]) -> tuple[bool, bool, float]:
    return answer.outcome == "matched", not answer.missing, answer.confidence
