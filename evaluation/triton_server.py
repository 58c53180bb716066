"""A real Triton server on CPU for tests and benchmarks, with the python backend, from the wheel `nvidia-pytriton`.

    with running_triton(tmp_path / "repository", tmp_path) as triton:
        open_model(f"{triton.endpoint}/embedder-lite0")

Fetched once (200 MB unpacked); see programs.py. The backend's stub needs Debian's `libpython3.11`.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import grpc
from tritonclient.grpc import InferenceServerClient, InferenceServerException

from evaluation.processes import HOST, ServerProcess, free_ports
from evaluation.programs import environment, program, unpack_wheel

REQUIREMENT = "nvidia-pytriton==0.7.0"  # carries tritonserver 2.51.0
NUMPY = "numpy==1.26.4"  # this server's python backend silently gives empty outputs with numpy 2


def install() -> tuple[Path, Path]:
    """The folder of the server, with `bin` and `backends`, and that of the environment in which its models run."""
    # The same ONNX Runtime as in process, so that answers can be compared bit by bit.
    onnxruntime = f"onnxruntime=={importlib.metadata.version('onnxruntime')}"
    python = environment(f"triton-{NUMPY}-{onnxruntime}", [NUMPY, onnxruntime])
    return program(REQUIREMENT, _unpack), python


def _unpack(place: Path) -> None:
    unpack_wheel(REQUIREMENT, place)
    server = place / "pytriton/tritonserver"
    # Where the server looks for its stub: beside the backend, not in a folder for each Python.
    shutil.copy(server / "python_backend_stubs/3.11/triton_python_backend_stub", server / "backends/python")


class TritonServer:
    """One server on the models in `repository`; can be killed and started again at the same address."""

    def __init__(self, repository: Path, home: Path, options: Sequence[str] = ()) -> None:
        """home: for its log. options: more of tritonserver's, such as "--model-control-mode=explicit"."""
        self.log = home / "triton.log"
        self._wheel, self._python = install()
        self._port, self._http_port, self._metrics_port = free_ports(3)
        self._options = (f"--model-repository={repository.resolve()}", *options)
        self._process = self._server()

    @property
    def address(self) -> str:
        """Host and port of gRPC."""
        return f"{HOST}:{self._port}"

    @property
    def endpoint(self) -> str:
        """As `RunnerOptions.endpoint` wants it."""
        return f"triton://{self.address}"

    @property
    def metrics(self) -> str:
        """Where Prometheus would scrape."""
        return f"http://{HOST}:{self._metrics_port}/metrics"

    def start(self, timeout: float = 90.0) -> None:
        """Starts the server and returns when it and all of its models are ready.

        Takes 2-5 s. Raises RuntimeError with the end of the log if it fails.
        """
        self._process.start()
        with InferenceServerClient(self.address) as client:
            self._process.wait(lambda: _problem(client), timeout)

    def kill(self) -> None:
        """SIGKILL to the server and the processes of its models."""
        self._process.end()

    def stop(self) -> None:
        """SIGTERM, SIGKILL after 10 s."""
        self._process.end(10.0)

    def _server(self) -> ServerProcess:
        server = self._wheel / "pytriton/tritonserver"
        command = [
            str(server / "bin/tritonserver"),
            f"--backend-directory={server / 'backends'}",
            *(f"--{kind}-address={HOST}" for kind in ("grpc", "http", "metrics")),
            *(f"--grpc-port={self._port}", f"--http-port={self._http_port}", f"--metrics-port={self._metrics_port}"),
            "--exit-timeout-secs=5",
            *self._options,
        ]
        # The stub takes the first Python on the path, and its packages, for its own.
        path = f"{self._python / 'bin'}:{os.environ['PATH']}"
        environment = {"PATH": path, "VIRTUAL_ENV": str(self._python)}
        return ServerProcess("Triton", command, self.log, environment=environment)


def _problem(client: InferenceServerClient) -> str | None:
    try:
        return None if client.is_server_ready(client_timeout=1.0) else "not all models are ready"
    except (InferenceServerException, grpc.RpcError) as error:
        return str(error)


@contextmanager
def running_triton(repository: Path, home: Path, options: Sequence[str] = ()) -> Iterator[TritonServer]:
    """A server that answers, on the models in `repository`; ended at the end."""
    server = TritonServer(repository, home, options)
    try:
        server.start()
        yield server
    finally:
        server.kill()
