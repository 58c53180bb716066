"""Random weights under the names and in the shapes in which the package has SSDLite's."""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_TRUNK = "FeatureExtractor/MobilenetV2"
_OUT = (16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320)
_LAYERS = ((2, 1280, 512), (3, 512, 256), (4, 256, 256), (5, 256, 128))
_MAPS = ((576, 3), (1280, 6), (512, 6), (256, 6), (256, 6), (128, 6))


def coco_weights(seed: int = 0) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    made: dict[str, NDArray[np.float32]] = {}

    def add(name: str, *shape: int, about: float = 0.0) -> None:
        width = float(np.prod(shape[:3])) if len(shape) == 4 and shape[3] > 1 else 9.0
        made[name] = (about + rng.normal(0, (2 / width) ** 0.5, shape)).astype(np.float32)

    def conv(name: str, side: int, given: int, out: int) -> None:
        add(f"{name}/Conv2D/merged_input", side, side, given, out)
        add(f"{name}/BatchNorm/batchnorm/sub", out)

    def depthwise(name: str, channels: int) -> None:
        add(f"{name}/depthwise_weights", 3, 3, channels, 1)
        add(f"{name}/BatchNorm/batchnorm/mul", channels, about=1.0)
        add(f"{name}/BatchNorm/batchnorm/sub", channels)

    conv(f"{_TRUNK}/Conv", 3, 3, 32)
    given = 32
    for i, out in enumerate(_OUT):
        block = f"{_TRUNK}/expanded_conv" + (f"_{i}" if i else "")
        wide = given * 6 if i else given
        if i:
            conv(f"{block}/expand", 1, given, wide)
        depthwise(f"{block}/depthwise", wide)
        conv(f"{block}/project", 1, wide, out)
        given = out
    conv(f"{_TRUNK}/Conv_1", 1, 320, 1280)
    for number, given, out in _LAYERS:
        conv(f"{_TRUNK}/layer_19_1_Conv2d_{number}_1x1_{out // 2}", 1, given, out // 2)
        wide_layer = f"{_TRUNK}/layer_19_2_Conv2d_{number}_3x3_s2_{out}"
        depthwise(f"{wide_layer}_depthwise", out // 2)
        conv(wide_layer, 1, out // 2, out)
    for i, (channels, boxes) in enumerate(_MAPS):
        for head, width in (("BoxEncodingPredictor", 4), ("ClassPredictor", 91)):
            name = f"BoxPredictor_{i}/{head}"
            add(f"{name}_depthwise/depthwise_weights", 3, 3, channels, 1)
            for part, about in (("gamma", 1.0), ("beta", 0.0), ("moving_mean", 0.0)):
                add(f"{name}_depthwise/BatchNorm/{part}", channels, about=about)
            made[f"{name}_depthwise/BatchNorm/moving_variance"] = rng.uniform(0.5, 1.5, channels).astype(np.float32)
            add(f"{name}/weights", 1, 1, channels, boxes * width)
            add(f"{name}/biases", boxes * width)
    return made


def write_package(folder: Path, weights: dict[str, NDArray[np.float32]]) -> None:
    """As TensorFlow.js keeps a model: all weights in a row, an integer among them, cut into files anywhere."""
    listed = [{"name": name, "dtype": "float32", "shape": list(value.shape)} for name, value in weights.items()]
    listed.insert(1, {"name": "an/integer", "dtype": "int32", "shape": []})
    parts = [value.tobytes() for value in weights.values()]
    data = b"".join([parts[0], np.int32(7).tobytes(), *parts[1:]])
    cut = len(data) // 2 + 1
    (folder / "part-1").write_bytes(data[:cut])
    (folder / "part-2").write_bytes(data[cut:])
    manifest = [{"paths": ["part-1", "part-2"], "weights": listed}]
    (folder / "model.json").write_text(json.dumps({"modelTopology": {}, "weightsManifest": manifest}))
