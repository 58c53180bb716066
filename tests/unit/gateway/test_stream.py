"""Frames of a camera over in-memory parts."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import cv2
import numpy as np
import pytest

from services.gateway.pictures import prepared
from services.gateway.progress import Progress
from services.gateway.stream import Frame, FrameMemory, Skipped, StreamRules, StreamScan
from shiwu.chassis.errors import DeadlineError, InvalidInputError, UnavailableError
from tests.unit.gateway.world import STOCK, World, embed, noisy, photo, tile


def view(seed, *, left=240, top=160, noise=4.0):
    return noisy(photo((tile(seed), left, top)), left * 1000 + top, noise)


def frame(number, image):
    async def read(progress):
        with progress.stage("decode"):
            if isinstance(image, Exception):
                raise image
            return prepared(image, 320)

    return Frame(number, read)


class Silence:
    """The client sends nothing more, and does not leave either."""


class Busy:
    """The client waits until a scan is under way."""


async def follow(world, frames, **rules):
    """All events. frames: images; numbers of events to wait for; functions to call; Silence; Busy."""
    events = []
    told = defaultdict(asyncio.Event)
    """By the number of events that have come."""

    async def come():
        number = 0
        for each in frames:
            if each is Silence:
                await asyncio.Event().wait()
            elif each is Busy:
                await world.detector.begun.wait()
            elif isinstance(each, int):
                await told[each].wait()
            elif callable(each):
                each()
            else:
                number += 1
                yield frame(number, each)

    async def scan(picture, progress, memory):
        return await world.scanner.scan(picture, progress, top_k=10, memory=memory)

    stream = StreamScan(scan, lambda: Progress(5.0), StreamRules(**rules))
    async for event in stream.events(come()):
        events.append(event)
        told[len(events)].set()
    return events


def summary(events):
    """What happened to which frame."""
    names = []
    for event in events:
        if isinstance(event, Skipped):
            names.append((event.number, event.reason))
        else:
            names.append((event.number, "final" if event.final else "update"))
    return names


async def test_two_agreeing_frames_end_the_stream_early():
    images = [view(3, left=left) for left in (100, 200, 300)]
    events = await follow(World(STOCK), [images[0], 1, images[1], 2, images[2]])
    assert summary(events) == [(1, "update"), (2, "final")]
    assert events[-1].answer.styles[0].products[0].product_id == "robot"
    assert events[-1].answer.confidence >= 0.9


async def test_a_still_camera_is_scanned_once_and_believed():
    world = World(STOCK)
    image = view(3)
    events = await follow(world, [image, 1, noisy(image, 1, 2.0), 2, image])
    assert summary(events) == [(1, "update"), (2, "final")]
    assert world.detector.calls == 1


async def test_still_frames_of_an_uncertain_answer_are_skipped():
    world = World(STOCK)
    image = view(99)
    events = await follow(world, [image, 1, image, 2, image])
    assert summary(events) == [(1, "update"), (2, "still"), (3, "still"), (1, "final")]
    assert world.detector.calls == 1
    assert events[-1].answer.outcome == "not_in_catalogue"


def breaks(world):
    return lambda: setattr(world.index, "error", UnavailableError("down"))


def heals(world):
    return lambda: setattr(world.index, "error", None)


async def test_a_still_frame_is_scanned_again_while_a_part_is_missing():
    world = World(STOCK)
    image = view(3)
    events = await follow(world, [breaks(world), image, 1, heals(world), image, 2, image])
    assert summary(events) == [(1, "update"), (2, "update"), (3, "final")]
    assert [event.answer.outcome for event in events] == ["undecided", "matched", "matched"]


async def test_only_the_newest_waits_when_scans_are_slower_than_frames():
    world = World(STOCK)
    world.detector.delay = 0.1
    images = [view(99, left=left) for left in (20, 120, 220, 320, 420)]
    events = await follow(world, [images[0], Busy, *images[1:]])
    behind = [(2, "behind"), (3, "behind"), (4, "behind")]
    assert summary(events)[:-1] == [(1, "update"), *behind, (5, "update")]
    assert summary(events)[-1][1] == "final"
    assert world.detector.calls == 2


def dim_view(frame):
    """Product 3 in other noise each time, as coarse as its own pattern, and somewhere else."""
    cells = np.random.default_rng(3).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    worse = noisy(cells, frame, 110.0)
    left, top = 20 + 90 * (frame % 5), 20 + 60 * (frame % 4)
    return photo((cv2.resize(worse, (160, 160), interpolation=cv2.INTER_NEAREST), left, top))


async def test_evidence_adds_up_over_frames():
    """No single frame shows the product well enough; together they do."""
    images = [dim_view(i) for i in range(8)]
    single = [(await World(STOCK).scan(image)).confidence for image in images]
    frames = [each for i, image in enumerate(images) for each in (image, i + 1)]
    events = await follow(World(STOCK), frames, certain_at=1.0, agree_at=0.3)
    assert summary(events)[:-1] == [(i, "update") for i in range(1, 9)]
    confidences = [event.answer.confidence for event in events]
    assert confidences[0] == pytest.approx(single[0])
    assert min(confidences[4:]) > max(single)


async def test_turning_to_something_else_starts_anew():
    images = [view(3, left=100), view(4, left=300), view(4, left=400)]
    events = await follow(World(STOCK), [images[0], 1, images[1], 2, images[2]])
    assert summary(events) == [(1, "update"), (2, "update"), (3, "final")]
    assert [event.answer.styles[0].products[0].product_id for event in events] == ["robot", "chair", "chair"]


async def test_the_last_word_is_about_what_was_looked_at_last():
    events = await follow(World(STOCK), [view(3, left=100), 1, view(99, left=300)])
    assert summary(events) == [(1, "update"), (2, "update"), (2, "final")]
    assert events[-1].answer.outcome == "not_in_catalogue"


async def test_the_best_answer_of_what_was_looked_at_is_the_last_word():
    world = World(STOCK)
    events = await follow(world, [view(3, left=100), 1, breaks(world), view(3, left=300)])
    assert summary(events) == [(1, "update"), (2, "update"), (1, "final")]
    assert [event.answer.outcome for event in events] == ["matched", "undecided", "matched"]


async def test_a_bad_frame_ends_the_stream_after_the_events_before():
    bad = InvalidInputError("of frame 2: the file is empty", field="frame.image.encoded")
    world = World(STOCK)
    with pytest.raises(InvalidInputError, match="frame 2"):
        await follow(world, [view(99), 1, bad])
    assert world.detector.calls == 1, "the event before was seen, or the bad frame had not come"


async def test_no_frame_at_all_is_an_error():
    with pytest.raises(InvalidInputError, match="before the first frame"):
        await follow(World(STOCK), [])


async def test_a_silent_client_is_not_waited_for():
    with pytest.raises(DeadlineError, match=r"no frame came within 0\.05 s"):
        await follow(World(STOCK), [Silence], idle_seconds=0.05)
    events = await follow(World(STOCK), [view(99), Silence, view(3)], idle_seconds=0.1)
    assert summary(events) == [(1, "update"), (1, "final")]


class TestMemory:
    def test_the_mean_of_agreeing_vectors_is_nearer_to_the_truth(self):
        truth = embed(tile(1))
        random = np.random.default_rng(0)
        memory = FrameMemory(agree_at=0.3, window=8)
        for _ in range(8):
            seen = truth + 0.06 * random.normal(size=truth.shape).astype(np.float32)
            seen /= np.linalg.norm(seen)
            fused = memory.recall("m", seen)
        assert fused @ truth > seen @ truth + 0.1
        assert np.linalg.norm(fused) == pytest.approx(1.0, abs=1e-5)
        assert not memory.turned

    def test_the_window_forgets(self):
        memory = FrameMemory(agree_at=-1.0, window=2)
        axes = np.eye(4, dtype=np.float32)
        for axis in axes:
            fused = memory.recall("m", axis)
        assert fused == pytest.approx((axes[2] + axes[3]) / np.sqrt(2), abs=1e-6)

    def test_something_else_clears_every_models_memory(self):
        memory = FrameMemory(agree_at=0.6, window=8)
        axes = np.eye(2, dtype=np.float32)
        memory.recall("general", axes[0])
        memory.recall("own", axes[0])
        assert memory.recall("general", axes[1]) == pytest.approx(axes[1])
        assert memory.turned
        assert memory.recall("own", axes[1]) == pytest.approx(axes[1])

    def test_opposite_vectors_do_not_divide_by_zero(self):
        memory = FrameMemory(agree_at=-1.0, window=8)
        axis = np.array([1.0, 0.0], np.float32)
        memory.recall("m", axis)
        assert np.isfinite(memory.recall("m", -axis)).all()
