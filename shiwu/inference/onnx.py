"""Models in process, by ONNX Runtime."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from shiwu.chassis.errors import OverloadedError, UnavailableError
from shiwu.inference.metrics import note_wait
from shiwu.inference.options import RunnerOptions
from shiwu.inference.runner import ModelError, Tensors
from shiwu.inference.tensors import Declared, check_inputs

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}


class OnnxRunner:
    """One ONNX file in one session; runs happen in threads of its own, so the event loop never waits for a model."""

    def __init__(self, path: Path, options: RunnerOptions) -> None:
        """Loads and warms up the model, which takes up to seconds. Raises ModelError for a file that does not load."""
        self._path = path
        self._session = _session(path, options)
        self._declared = tuple(_declared(node) for node in self._session.get_inputs())
        self._outputs = [node.name for node in self._session.get_outputs()]
        self._pool = ThreadPoolExecutor(options.concurrency, thread_name_prefix=f"onnx-{path.parent.name}")
        self._places = threading.BoundedSemaphore(options.concurrency + options.max_waiting)
        self._closed = False
        # The first run allocates and tunes; nobody should wait for that.
        self._run({d.name: np.zeros([side or 1 for side in d.shape], d.dtype) for d in self._declared})

    @property
    def inputs(self) -> tuple[Declared, ...]:
        """What the graph takes."""
        return self._declared

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what the graph gives."""
        return tuple(self._outputs)

    async def run(self, inputs: Tensors) -> Tensors:
        check_inputs(inputs, self._declared)
        if self._closed:
            msg = f"model {self._path} is closed"
            raise UnavailableError(msg)
        if not self._places.acquire(blocking=False):
            msg = f"too many runs of model {self._path.parent.name} wait; try again later"
            raise OverloadedError(msg)
        future = self._pool.submit(self._run_in_turn, inputs, time.perf_counter())
        # A caller who gives up frees the place when the run has really ended, or at once if it had not begun.
        future.add_done_callback(lambda _: self._places.release())
        outputs, waited = await asyncio.wrap_future(future)
        note_wait(waited)
        return outputs

    async def ready(self) -> bool:
        return not self._closed

    async def close(self) -> None:
        self._closed = True
        await asyncio.to_thread(self._pool.shutdown)

    def _run_in_turn(self, inputs: Tensors, submitted: float) -> tuple[Tensors, float]:
        """The outputs, and how long the run has waited for its turn, seconds."""
        waited = time.perf_counter() - submitted
        return self._run(inputs), waited

    def _run(self, inputs: Tensors) -> dict[str, NDArray[Any]]:
        try:
            values = self._session.run(self._outputs, dict(inputs))
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            msg = f"model {self._path} failed: {error}"
            raise ModelError(msg) from error
        return dict(zip(self._outputs, values, strict=True))


def _session(path: Path, options: RunnerOptions) -> onnxruntime.InferenceSession:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    settings.add_session_config_entry("session.intra_op.allow_spinning", "1" if options.spin else "0")
    available = onnxruntime.get_available_providers()
    providers = [p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in available]
    try:
        return onnxruntime.InferenceSession(str(path), settings, providers=providers)
    except Exception as error:  # as above
        msg = f"{path} is not a model that ONNX Runtime {onnxruntime.__version__} can load: {error}"
        raise ModelError(msg) from error


def _declared(node: Any) -> Declared:
    if node.type not in _DTYPES:
        msg = f"input {node.name} is a {node.type}; known are {', '.join(_DTYPES)}"
        raise ModelError(msg)
    # Symbolic sizes arrive as names, unknown ones as None.
    shape = tuple(side if isinstance(side, int) else None for side in node.shape)
    return Declared(node.name, np.dtype(_DTYPES[node.type]), shape)
