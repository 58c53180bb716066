"""What every adapter of the ModelRunner port must do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evaluation.triton_server import running_triton
from shiwu.chassis.errors import OverloadedError, UnavailableError
from shiwu.inference.opening import open_model
from shiwu.inference.options import RunnerOptions
from shiwu.inference.runner import ModelError, ModelRunner, TensorError
from tests.triton_models import serve_graph
from tests.unit.inference import onnx_models

Opener = Callable[..., ModelRunner]

A = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
B = np.array([10, 20], np.uint8)


@pytest.fixture(scope="module")
def triton(tmp_path_factory):
    """A Triton server with all of the small models."""
    home = tmp_path_factory.mktemp("triton")
    for build in (onnx_models.arithmetic, onnx_models.gather, onnx_models.slow):
        serve_graph(build, home / "models")
    with running_triton(home / "models", home) as server:
        yield server


@pytest.fixture(params=["onnx", "triton"])
async def opened(request, tmp_path: Path):
    """Opens a small model, by the function that builds it, through one adapter."""
    runners = []
    server = request.getfixturevalue("triton") if request.param == "triton" else None

    def opener(build: Callable[[Path], Path], **options) -> ModelRunner:
        if server is None:
            address = f"onnx:{build(tmp_path / build.__name__ / 'model.onnx')}"
        else:
            address = f"{server.endpoint}/{build.__name__}"
        runners.append(open_model(address, RunnerOptions(**options)))
        return runners[-1]

    yield opener
    for runner in runners:
        await runner.close()


async def test_runs_named_arrays(opened: Opener) -> None:
    outputs = await opened(onnx_models.arithmetic).run({"a": A, "b": B})
    assert set(outputs) == {"sum", "product"}
    assert outputs["sum"].tolist() == [[11, 12, 13], [24, 25, 26]]
    assert outputs["product"].tolist() == [[10, 20, 30], [80, 100, 120]]


@pytest.mark.parametrize("batch", [1, 3, 17])
async def test_any_batch(opened: Opener, batch: int) -> None:
    a = np.arange(batch * 3, dtype=np.float32).reshape(batch, 3)
    outputs = await opened(onnx_models.arithmetic).run({"a": a, "b": np.zeros(batch, np.uint8)})
    assert np.array_equal(outputs["sum"], a)


async def test_views_and_read_only_arrays_run_too(opened: Opener) -> None:
    wide = np.arange(24, dtype=np.float32).reshape(4, 6)
    a, b = wide[::2, ::2], np.frombuffer(b"\1\2", np.uint8)
    outputs = await opened(onnx_models.arithmetic).run({"a": a, "b": b})
    assert np.array_equal(outputs["sum"], a + b[:, None])


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"a": A}, r"missing \['b'\], unknown \[\]; the model takes \['a', 'b'\]"),
        ({"a": A, "b": B, "c": B}, r"missing \[\], unknown \['c'\]"),
        ({}, r"missing \['a', 'b'\]"),
        ({"a": A.astype(np.float64), "b": B}, "input a is float64; expected float32"),
        ({"a": A, "b": B.astype(np.int8)}, "input b is int8; expected uint8"),
        ({"a": A[:, :2], "b": B}, r"input a has shape \(2, 2\); expected \(any, 3\)"),
        ({"a": A[0], "b": B}, r"input a has shape \(3,\); expected \(any, 3\)"),
        ({"a": A[:0], "b": B[:0]}, r"input a has shape \(0, 3\)"),
        ({"a": A, "b": B[:1]}, "input b has a batch of 1, another input one of 2"),
    ],
)
async def test_wrong_inputs_are_named(opened: Opener, inputs: dict, words: str) -> None:
    runner = opened(onnx_models.arithmetic)
    with pytest.raises(TensorError, match=words):
        await runner.run(inputs)
    assert await runner.ready()


async def test_a_failing_run_is_a_model_error_and_the_next_one_works(opened: Opener) -> None:
    runner = opened(onnx_models.gather, concurrency=1, max_waiting=0)
    for _ in range(3):
        with pytest.raises(ModelError, match="gather"):
            await runner.run({"index": np.array([9])})
        assert (await runner.run({"index": np.array([3])}))["value"].tolist() == [3]


async def test_the_event_loop_goes_on_while_a_model_runs(opened: Opener) -> None:
    runner = opened(onnx_models.slow)
    running = asyncio.create_task(runner.run({"x": np.ones((400, 400), np.float32)}))
    beats = 0
    while not running.done():
        await asyncio.sleep(0)
        beats += 1
    assert beats > 50


async def test_many_at_once_each_get_their_own_answer(opened: Opener) -> None:
    runner = opened(onnx_models.arithmetic)
    answers = await asyncio.gather(*(runner.run({"a": A * i, "b": B}) for i in range(40)))
    for i, outputs in enumerate(answers):
        assert np.array_equal(outputs["sum"], A * i + B[:, None])


async def test_beyond_the_queue_runs_are_refused_and_later_served_again(opened: Opener) -> None:
    runner = opened(onnx_models.slow, concurrency=1, max_waiting=2)
    x = {"x": np.ones((400, 400), np.float32)}
    answers = await asyncio.gather(*(runner.run(x) for _ in range(6)), return_exceptions=True)
    refused = [each for each in answers if isinstance(each, OverloadedError)]
    assert len(refused) == 3
    assert "too many runs" in str(refused[0])
    assert len([each for each in answers if isinstance(each, dict)]) == 3
    assert "y" in await runner.run(x)


async def test_who_gives_up_while_waiting_frees_the_place(opened: Opener) -> None:
    runner = opened(onnx_models.slow, concurrency=1, max_waiting=1)
    x = {"x": np.ones((400, 400), np.float32)}
    first, second = asyncio.create_task(runner.run(x)), asyncio.create_task(runner.run(x))
    await asyncio.sleep(0)
    with pytest.raises(OverloadedError):
        await runner.run(x)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    third = asyncio.create_task(runner.run(x))
    assert "y" in await first
    assert "y" in await third


async def test_who_gives_up_while_it_runs_frees_the_place_when_it_ends(opened: Opener) -> None:
    runner = opened(onnx_models.slow, concurrency=1, max_waiting=0)
    x = {"x": np.ones((400, 400), np.float32)}
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(runner.run(x), 0.002)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            assert "y" in await runner.run(x)
            return
        except OverloadedError:
            await asyncio.sleep(0.01)
    pytest.fail("the place was never freed")


async def test_ready_until_closed(opened: Opener) -> None:
    runner = opened(onnx_models.arithmetic)
    assert await runner.ready()
    await runner.close()
    assert not await runner.ready()
    with pytest.raises(UnavailableError, match="closed"):
        await runner.run({"a": A, "b": B})
    await runner.close()  # once more does no harm


async def test_runs_under_way_end_before_it_closes(opened: Opener) -> None:
    runner = opened(onnx_models.slow, concurrency=1)
    runs = [asyncio.create_task(runner.run({"x": np.ones((400, 400), np.float32)})) for _ in range(3)]
    await asyncio.sleep(0)
    await runner.close()
    assert all("y" in outputs for outputs in await asyncio.gather(*runs))
