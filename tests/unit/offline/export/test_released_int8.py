"""The released embedder and detector in 8 bits, on pictures of the demo: a release can break them unseen."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.demo import pixels
from evaluation.demo_catalogue import fetch
from evaluation.phone_shots import PhoneShot, shoot
from offline.export import to_int8
from offline.export.gate import Gate
from offline.export.pictures import Squares
from offline.export.runtimes import onnx_runtime
from shiwu.inference.manifest import Preprocessing, read_manifest
from shiwu.inference.released import DETECTOR, EMBEDDER
from shiwu.vision.decode import Limits, decode
from shiwu.vision.resize import fit
from tests.demo_mesh import ROOT

pytestmark = pytest.mark.long


def pictures(how: Preprocessing) -> tuple[Squares, Squares]:
    """The demo's pictures to calibrate on, and phone shots of them to compare on."""
    shown = [pixels(product.picture) for product in fetch(ROOT / ".cache/demo")]
    files = [shoot(each, each[::-1], seed, 640, PhoneShot()) for seed, each in enumerate(shown)]
    shots = [decode(each, Limits()).pixels for each in files]
    calibration, comparison = (
        np.stack([fit(image, how.size, how.fit, how.fill)[0] for image in images]) for images in (shown, shots)
    )
    return calibration, comparison


@pytest.mark.parametrize("convert", [to_int8.for_cpu, to_int8.for_tensorrt])
@pytest.mark.parametrize("name", [EMBEDDER, DETECTOR])
def test_eight_bits_are_faithful(name: str, convert, tmp_path: Path) -> None:
    folder = ROOT / "models" / name
    manifest = read_manifest(folder)
    calibration, comparison = pictures(manifest.preprocessing)
    convert(folder / manifest.file, tmp_path / "int8.onnx", calibration)
    gate = Gate(manifest, onnx_runtime(folder, (manifest.file,), manifest), comparison)
    verdict = gate.judge(name, onnx_runtime(tmp_path, ("int8.onnx",), manifest), "int8")
    print(name, convert.__name__, verdict.figures)
    assert not verdict.faults
