"""The model repository made from releases; what a real Triton makes of it, tests/failure and tests/mesh show."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from offline.triton.__main__ import main
from offline.triton.policy import PolicyError, ServingPolicy, read_policies
from offline.triton.repository import Engines, RepositoryError, write_model
from shiwu.inference.manifest import write_manifest
from tests.unit.inference import onnx_models

ROOT = Path(__file__).parents[4]
POLICY = ServingPolicy(
    max_batch=16, preferred_batches=(4, 8), max_delay_us=300, max_queue=9, max_wait_ms=700, instances=3, threads=5
)


def read(repository: Path, model: str) -> pb.ModelConfig:
    return text_format.Parse((repository / model / "config.pbtxt").read_text(), pb.ModelConfig())


def export_engine(folder: Path, release: Path, source: str, *, batches: tuple[int, ...] = (1, 8, 32)) -> Path:
    """What offline.export leaves on a GPU box, but for the engine's bytes."""
    folder.mkdir(parents=True)
    engine = folder / "model.fp16.engine"
    engine.write_bytes(b"engine")
    files = {engine.name: hashlib.sha256(b"engine").hexdigest()}
    part = {"source": source, "files": files, "settings": {"batches": list(batches)}}
    (folder / "export.json").write_text(json.dumps({"parts": {"engine of fp16": part}}))
    return engine


@pytest.mark.parametrize(
    ("platform", "backend", "file", "kind"),
    [
        ("python", "python", "model.py", pb.ModelInstanceGroup.KIND_CPU),
        ("onnxruntime_onnx", "onnxruntime", "model.onnx", pb.ModelInstanceGroup.KIND_AUTO),
        ("tensorrt_plan", "tensorrt", "model.plan", pb.ModelInstanceGroup.KIND_GPU),
    ],
)
def test_each_platform(tmp_path: Path, platform, backend: str, file: str, kind: int) -> None:
    manifest = onnx_models.release_detector(tmp_path / "release")
    export_engine(tmp_path / "export" / manifest.name, tmp_path, manifest.sha256)
    version = write_model(
        tmp_path / "release", tmp_path / "models", platform, POLICY, Engines(tmp_path / "export", "float16")
    )
    assert version == tmp_path / "models" / manifest.name / "1"
    config = read(tmp_path / "models", manifest.name)
    assert (config.name, config.backend, config.default_model_filename) == (manifest.name, backend, file)
    assert (version / file).is_file()
    assert config.platform == ("" if platform == "python" else platform)
    assert [(each.kind, each.count) for each in config.instance_group] == [(kind, 3)]
    assert [(t.name, t.data_type, list(t.dims)) for t in config.input] == [("image", pb.TYPE_UINT8, [32, 32, 3])]
    assert [(t.name, t.data_type, list(t.dims)) for t in config.output] == [
        ("scores", pb.TYPE_FP32, [4, 3]),
        ("deltas", pb.TYPE_FP32, [4, 4]),
    ]
    batching = config.dynamic_batching
    assert config.max_batch_size == 16
    assert (list(batching.preferred_batch_size), batching.max_queue_delay_microseconds) == ([4, 8], 300)
    queue = batching.default_queue_policy
    assert (queue.max_queue_size, queue.default_timeout_microseconds, queue.allow_timeout_override) == (
        9,
        700_000,
        True,
    )
    assert queue.timeout_action == pb.ModelQueuePolicy.REJECT
    assert [warm.batch_size for warm in config.model_warmup] == [1, 4, 8]
    assert config.version_policy.latest.num_versions == 2
    assert ("5" in {p.string_value for p in config.parameters.values()}) == (platform != "tensorrt_plan")
    assert not list(tmp_path.glob(".unfinished*"))


def test_a_new_version_stands_beside_the_old_and_a_repeated_one_takes_its_place(tmp_path: Path) -> None:
    manifest = onnx_models.release_embedder(tmp_path / "release")
    for version in ("1", "2", "2"):
        write_manifest(manifest.model_copy(update={"version": version}), tmp_path / "release")
        write_model(tmp_path / "release", tmp_path / "models", "python", POLICY, Engines(tmp_path))
    home = tmp_path / "models" / manifest.name
    assert sorted(path.name for path in home.iterdir()) == ["1", "2", "config.pbtxt"]
    with pytest.raises(RepositoryError, match="holds versions for python; give onnxruntime_onnx an --out of its own"):
        write_model(tmp_path / "release", tmp_path / "models", "onnxruntime_onnx", POLICY, Engines(tmp_path))
    assert read(tmp_path / "models", manifest.name).backend == "python"


@pytest.mark.parametrize("version", ["1.2", "b3", "0"])
def test_triton_counts_versions(tmp_path: Path, version: str) -> None:
    manifest = onnx_models.release_embedder(tmp_path)
    write_manifest(manifest.model_copy(update={"version": version}), tmp_path)
    with pytest.raises(RepositoryError, match=f"embedder-small@{version}: Triton serves versions 1, 2, 3"):
        write_model(tmp_path, tmp_path / "models", "python", POLICY, Engines(tmp_path))


class TestEngines:
    def write(self, tmp_path: Path, **options) -> None:
        write_model(tmp_path, tmp_path / "models", "tensorrt_plan", POLICY, Engines(tmp_path / "export", **options))

    def test_none_was_made(self, tmp_path: Path) -> None:
        onnx_models.release_embedder(tmp_path)
        with pytest.raises(
            RepositoryError, match=r"no .*model\.fp16\.engine; make it on the GPU box: python -m offline"
        ):
            self.write(tmp_path)

    def test_of_another_precision(self, tmp_path: Path) -> None:
        manifest = onnx_models.release_embedder(tmp_path)
        export_engine(tmp_path / "export" / manifest.name, tmp_path, manifest.sha256)
        with pytest.raises(RepositoryError, match=r"no .*model\.int8-trt\.engine"):
            self.write(tmp_path, precision="int8")

    def test_of_another_release(self, tmp_path: Path) -> None:
        manifest = onnx_models.release_embedder(tmp_path)
        export_engine(tmp_path / "export" / manifest.name, tmp_path, "0" * 64)
        with pytest.raises(RepositoryError, match="from another release, or changed since"):
            self.write(tmp_path)

    def test_changed_since(self, tmp_path: Path) -> None:
        manifest = onnx_models.release_embedder(tmp_path)
        export_engine(tmp_path / "export" / manifest.name, tmp_path, manifest.sha256).write_bytes(b"other")
        with pytest.raises(RepositoryError, match="from another release, or changed since"):
            self.write(tmp_path)

    def test_for_smaller_batches(self, tmp_path: Path) -> None:
        manifest = onnx_models.release_embedder(tmp_path)
        export_engine(tmp_path / "export" / manifest.name, tmp_path, manifest.sha256, batches=(1, 4, 8))
        with pytest.raises(RepositoryError, match="batches of up to 8, the policy's max_batch is 16"):
            self.write(tmp_path)


class TestPolicy:
    def test_the_repositorys_own_names_the_released_models(self) -> None:
        policies = read_policies(ROOT / "deploy/triton/policy.yaml")
        assert set(policies.models) == {path.name for path in (ROOT / "models").iterdir()}
        assert policies.of("another") == ServingPolicy()

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("models: {m: {max_queues: 3}}", "max_queues"),
            ("models: {m: {max_queue: 0}}", "greater than 0"),
            ("models: {m: {max_delay_us: 0}}", "greater than 0"),
            ("models: {m: {max_batch: 4, preferred_batches: [8]}}", "none may exceed max_batch, 4"),
            ("model: {}", "model"),
            ("models: [", "while parsing"),
        ],
    )
    def test_nonsense_is_refused(self, tmp_path: Path, text: str, words: str) -> None:
        path = tmp_path / "policy.yaml"
        path.write_text(text)
        with pytest.raises(PolicyError, match=words):
            read_policies(path)

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(PolicyError, match=r"gone\.yaml is not a serving policy: .*No such file"):
            read_policies(tmp_path / "gone.yaml")


class TestCommand:
    def run(self, tmp_path: Path, policy: str, platform: str = "python") -> int:
        (tmp_path / "policy.yaml").write_text(policy)
        models, out, path = (str(tmp_path / name) for name in ("releases", "out/models", "policy.yaml"))
        return main(["--platform", platform, "--models", models, "--out", out, "--policy", path])

    def test_writes_all_models(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for release in (onnx_models.release_detector, onnx_models.release_embedder):
            release(tmp_path / "releases" / release.__name__)
        assert self.run(tmp_path, "models: {detector-small: {max_queue: 7}}") == 0
        assert capsys.readouterr().out.count("\n") == 2
        queues = {
            name: read(tmp_path / "out/models", name).dynamic_batching.default_queue_policy.max_queue_size
            for name in ("detector-small", "embedder-small")
        }
        assert queues == {"detector-small": 7, "embedder-small": ServingPolicy().max_queue}

    def test_says_what_is_wrong(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.run(tmp_path, "") == 2
        assert "no released model in" in capsys.readouterr().err
        onnx_models.release_detector(tmp_path / "releases/detector")
        assert self.run(tmp_path, "models: {detector: {}}") == 2
        assert "policy.yaml names detector; the models are detector-small" in capsys.readouterr().err
        assert self.run(tmp_path, "", "tensorrt_plan") == 2
        assert "make it on the GPU box" in capsys.readouterr().err
