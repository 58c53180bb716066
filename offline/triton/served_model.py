"""A released ONNX file on Triton's python backend: becomes `model.py` in the model repository.

Runs where Triton's python backend runs it, with numpy and ONNX Runtime beside it and nothing of this project.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import triton_python_backend_utils as backend  # only Triton has it


class TritonPythonModel:
    """One instance of the model; Triton's name for it."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the file of this version."""
        config = json.loads(args["model_config"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(config["parameters"]["threads"]["string_value"])
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._inputs = [each["name"] for each in config["input"]]
        self._outputs = [each["name"] for each in config["output"]]

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers the requests that the dynamic batcher has put together, in one run."""
        given = [
            [backend.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs]
            for request in requests
        ]
        try:
            whole = {name: _joined(parts) for name, parts in zip(self._inputs, zip(*given, strict=True), strict=True)}
            answers = self._session.run(self._outputs, whole)
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            failed = backend.TritonError(str(error))
            return [backend.InferenceResponse(error=failed) for _ in requests]
        ends = np.cumsum([len(inputs[0]) for inputs in given])[:-1]
        rows = zip(*(np.split(answer, ends) for answer in answers), strict=True)
        return [
            backend.InferenceResponse(
                [backend.Tensor(name, part) for name, part in zip(self._outputs, row, strict=True)]
            )
            for row in rows
        ]


def _joined(parts: Sequence[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
