"""Models on a Triton server, over gRPC. Needs the extra `triton`."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferInput, InferResult
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException, np_to_triton_dtype, triton_to_np_dtype

from shiwu.chassis.calls import current_call
from shiwu.chassis.deadlines import budget
from shiwu.chassis.errors import DeadlineError, OverloadedError, ServiceError, UnavailableError
from shiwu.chassis.tracing import trace_headers
from shiwu.inference.manifest import DetectorManifest, EmbedderManifest, ManifestError
from shiwu.inference.options import RunnerOptions
from shiwu.inference.promises import check_promises
from shiwu.inference.runner import ModelError, Tensors
from shiwu.inference.tensors import Declared, check_inputs

_ADDRESS = re.compile(r"triton://(?P<target>[^\s/]+:\d{1,5})/(?P<model>[\w.-]+)(?:/(?P<version>[1-9]\d*))?")
_READY_SECONDS = 1.0
_MAX_MESSAGE = 64 << 20
_CHANNEL = [
    # No retries: Triton says UNAVAILABLE of a full queue, too, and a second try would make that worse.
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
    ("grpc.max_send_message_length", _MAX_MESSAGE),
    ("grpc.max_receive_message_length", _MAX_MESSAGE),
    # Only while something is called: Triton hangs up on those who ping it idly.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    # A server that restarts is found again soon.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
    ("grpc.enable_http_proxy", 0),
]


@dataclass(frozen=True, slots=True)
class _Signature:
    inputs: tuple[Declared, ...]
    outputs: tuple[str, ...]


class TritonRunner:
    """One model on one Triton server, or on several behind one name; one channel for all of its runs.

    Tensors travel in the messages: shared memory would tie the service to the server's machine.
    """

    def __init__(
        self, address: str, options: RunnerOptions, manifest: DetectorManifest | EmbedderManifest | None = None
    ) -> None:
        """address: "triton://HOST:PORT/MODEL" or ".../MODEL/VERSION"; without a version the latest one runs.

        manifest: what the model must be like. The server is first asked when it is needed, so that services may start
        before it does. Raises ValueError for another address.
        """
        parts = _ADDRESS.fullmatch(address)
        if parts is None:
            msg = (
                f"no Triton model {address!r}; expected triton://HOST:PORT/MODEL[/VERSION], versions being 1, 2, 3, ..."
            )
            raise ValueError(msg)
        self._address, self._manifest = address, manifest
        self._model: tuple[str, str] = (parts["model"], parts["version"] or "")
        self._client = InferenceServerClient(f"dns:///{parts['target']}", channel_args=_CHANNEL)
        self._signature: _Signature | None = None
        self._limit = options.limit
        self._places = options.concurrency + options.max_waiting
        self._taken = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    async def run(self, inputs: Tensors) -> Tensors:
        seconds, call = budget(self._limit), current_call.get()
        with self._place(), self._errors(seconds):
            signature = await self._known(seconds)
            check_inputs(inputs, signature.inputs)
            result = await self._client.infer(
                self._model[0],
                [_input(name, array) for name, array in inputs.items()],
                model_version=self._model[1],
                request_id=call.request_id if call else "",
                client_timeout=seconds,
                timeout=round(seconds * 1e6),  # a request that waits for longer leaves Triton's queue
                headers=dict(trace_headers()),
            )
        return {name: self._output(result, name) for name in signature.outputs}

    async def ready(self) -> bool:
        if self._closed:
            return False
        with self._errors(_READY_SECONDS):
            ready = await self._client.is_model_ready(*self._model, client_timeout=_READY_SECONDS)
            if not ready:
                self._signature = None
                return False
            await self._known(_READY_SECONDS)
        return True

    async def close(self) -> None:
        self._closed = True
        await self._idle.wait()
        await self._client.close()

    async def _known(self, seconds: float) -> _Signature:
        """What the server says of the model, asked for once and again after failures: it may have another by then."""
        if self._signature is None:
            metadata = await self._client.get_model_metadata(*self._model, client_timeout=seconds)
            inputs = tuple(self._declared(each) for each in metadata.inputs)
            signature = _Signature(inputs, tuple(each.name for each in metadata.outputs))
            if self._manifest is not None:
                try:
                    check_promises(self._manifest, inputs, signature.outputs, self._address)
                except ManifestError as error:
                    raise ModelError(str(error)) from error
            self._signature = signature
        return self._signature

    def _declared(self, tensor: Any) -> Declared:
        kind = triton_to_np_dtype(tensor.datatype)
        if kind is None or kind is np.object_:
            msg = f"model {self._address}: input {tensor.name} is {tensor.datatype}; expected numbers"
            raise ModelError(msg)
        return Declared(tensor.name, np.dtype(kind), tuple(None if side < 0 else side for side in tensor.shape))

    def _output(self, result: InferResult, name: str) -> NDArray[Any]:
        try:
            values = result.as_numpy(name)
        except ValueError as error:
            msg = f"model {self._address} gave an output {name} whose shape and size differ: {error}"
            raise ModelError(msg) from error
        if values is None:
            msg = f"model {self._address} gave no output {name}"
            raise ModelError(msg)
        return np.asarray(values)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._closed:
            msg = f"model {self._address} is closed"
            raise UnavailableError(msg)
        if self._taken >= self._places:
            msg = f"too many runs of model {self._address} wait; try again later"
            raise OverloadedError(msg)
        self._taken += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._taken -= 1
            if not self._taken:
                self._idle.set()

    @contextmanager
    def _errors(self, seconds: float) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        except InferenceServerException as error:
            failure = _failure(error, self._address, late=time.monotonic() - began > 0.9 * seconds)
            if not isinstance(failure, OverloadedError | DeadlineError):
                self._signature = None
            raise failure from error


def _input(name: str, array: NDArray[Any]) -> InferInput:
    return InferInput(name, array.shape, np_to_triton_dtype(array.dtype)).set_data_from_numpy(array)


def _failure(error: InferenceServerException, address: str, *, late: bool) -> ServiceError:
    """What Triton's status means for the caller. Why a request left the queue is said in the message alone.

    late: the caller's time is up, too; otherwise the queue's own policy has found that a request waited for too long.
    """
    status, message = (error.status() or "").removeprefix("StatusCode."), error.message()
    refused = "Exceeds maximum queue size" in message or "Request timeout expired" in message
    if status == "DEADLINE_EXCEEDED" or (refused and late):
        return DeadlineError(f"model {address} was not run in time: {message}")
    if refused:
        return OverloadedError(f"too many runs of model {address} wait; try again later: {message}")
    if status in {"UNAVAILABLE", "NOT_FOUND", "CANCELLED"}:
        return UnavailableError(f"model {address} is not there: {message}")
    return ModelError(f"model {address} failed: {message}")
