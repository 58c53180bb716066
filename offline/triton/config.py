"""Triton's `config.pbtxt` of a released model, built from Triton's own message, so that it parses by construction.

Fields: https://github.com/triton-inference-server/common/blob/main/protobuf/model_config.proto
"""

from __future__ import annotations

from typing import Any, Final, Literal

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from offline.triton.policy import ServingPolicy
from shiwu.inference.manifest import DetectorManifest, EmbedderManifest, TensorSpec

Platform = Literal["tensorrt_plan", "onnxruntime_onnx", "python"]

FILES: Final[dict[Platform, str]] = {
    "tensorrt_plan": "model.plan",
    "onnxruntime_onnx": "model.onnx",
    "python": "model.py",
}
"""What Triton opens of a version, by its own default."""
_BACKENDS: Final[dict[Platform, str]] = {
    "tensorrt_plan": "tensorrt",
    "onnxruntime_onnx": "onnxruntime",
    "python": "python",
}
_KINDS: Final[dict[Platform, Any]] = {
    "tensorrt_plan": pb.ModelInstanceGroup.KIND_GPU,
    "onnxruntime_onnx": pb.ModelInstanceGroup.KIND_AUTO,  # a GPU if there is one
    "python": pb.ModelInstanceGroup.KIND_CPU,
}
_TYPES: Final = {"uint8": pb.TYPE_UINT8, "float32": pb.TYPE_FP32}


def config_text(manifest: DetectorManifest | EmbedderManifest, platform: Platform, policy: ServingPolicy) -> str:
    """The text of config.pbtxt. The models' first axis is the batch, which Triton adds by itself."""
    config = pb.ModelConfig(
        name=manifest.name,
        backend=_BACKENDS[platform],
        platform="" if platform == "python" else platform,
        default_model_filename=FILES[platform],
        max_batch_size=policy.max_batch,
        input=[pb.ModelInput(name=t.name, data_type=_TYPES[t.dtype], dims=_dims(t)) for t in manifest.inputs],
        output=[pb.ModelOutput(name=t.name, data_type=_TYPES[t.dtype], dims=_dims(t)) for t in manifest.outputs],
        version_policy=pb.ModelVersionPolicy(latest=pb.ModelVersionPolicy.Latest(num_versions=policy.versions)),
        instance_group=[pb.ModelInstanceGroup(kind=_KINDS[platform], count=policy.instances)],
        dynamic_batching=pb.ModelDynamicBatching(
            preferred_batch_size=policy.preferred_batches,
            max_queue_delay_microseconds=policy.max_delay_us,
            default_queue_policy=pb.ModelQueuePolicy(
                timeout_action=pb.ModelQueuePolicy.REJECT,
                default_timeout_microseconds=policy.max_wait_ms * 1000,
                allow_timeout_override=True,  # our services send how long their own caller still waits
                max_queue_size=policy.max_queue,
            ),
        ),
        # The first run of each size allocates and tunes; Triton is ready only after these.
        model_warmup=[_warm_up(manifest, size) for size in sorted({1, *policy.preferred_batches})],
        parameters={key: pb.ModelParameter(string_value=value) for key, value in _parameters(platform, policy).items()},
    )
    return str(text_format.MessageToString(config))


def platform_of(text: str) -> Platform:
    """The platform that a config.pbtxt of ours is for."""
    config = text_format.Parse(text, pb.ModelConfig())
    return next(platform for platform, backend in _BACKENDS.items() if backend == config.backend)


def _dims(tensor: TensorSpec) -> list[int]:
    return [side if isinstance(side, int) else -1 for side in tensor.shape[1:]]


def _warm_up(manifest: DetectorManifest | EmbedderManifest, batch: int) -> Any:
    inputs = {
        t.name: pb.ModelWarmup.Input(data_type=_TYPES[t.dtype], dims=_dims(t), random_data=True)
        for t in manifest.inputs
    }
    return pb.ModelWarmup(name=f"batch of {batch}", batch_size=batch, inputs=inputs)


def _parameters(platform: Platform, policy: ServingPolicy) -> dict[str, str]:
    """Threads, by the names that each backend knows; a GPU's model needs none."""
    if platform == "python":
        return {"threads": str(policy.threads)}  # served_model.py reads it
    if platform == "onnxruntime_onnx":
        return {"intra_op_thread_count": str(policy.threads), "inter_op_thread_count": "1"}
    return {}
