"""`python -m offline.export MODEL --to onnx,int8,tensorrt,ncnn --data DIR`: a released model in other formats.

Exits with 1 when a format cannot be made or is not faithful to the release, and with 2 when it cannot begin.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import cv2

try:
    from offline.export.errors import ExportError, UsageError
    from offline.export.exporting import export
    from offline.export.formats import FORMATS, Job, parts
    from offline.export.pictures import choose
    from offline.export.to_tensorrt import EngineOptions
except ModuleNotFoundError as missing:
    print(f"offline.export needs the package {missing.name}: pip install 'shiwu[export,cpu]'", file=sys.stderr)
    sys.exit(2)
from offline.training.items import ItemsError
from shiwu.inference.manifest import ManifestError, read_manifest


def main(arguments: list[str] | None = None) -> int:
    """Exports, prints the table, and returns the exit code."""
    options = _options(arguments)
    cv2.setNumThreads(1)
    try:
        rows = _exported(options)
    except (UsageError, ManifestError, ItemsError) as error:
        print(error, file=sys.stderr)
        return 2
    except ExportError as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(rows, default=dataclasses.asdict) if options.json else table(rows))
    return 0


def _exported(options: argparse.Namespace) -> list[dict[str, Any]]:
    engines = EngineOptions(options.batches, options.capability, options.version_compatible)
    chosen = parts(options.to, engines)
    manifest = read_manifest(options.model)
    out = options.out or Path("build/export") / manifest.name
    if out.resolve() == options.model.resolve():
        msg = f"{out} holds the released model, which stays as it is; give another --out"
        raise UsageError(msg)
    pictures = choose(options.data, manifest.preprocessing, options.calibration, options.pictures)
    job = Job(options.model / manifest.file, manifest, pictures, out, engines)
    return export(job, chosen, options.data, force=options.force)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m offline.export", description=__doc__)
    parser.add_argument("model", type=Path, help="folder of a released model")
    parser.add_argument("--to", type=lambda text: text.split(","), default=list(FORMATS), help=",".join(FORMATS))
    parser.add_argument("--data", type=Path, required=True, help="folder with the image sets (items.jsonl each)")
    parser.add_argument("--out", type=Path, help="where the files go; build/export/NAME unless given")
    parser.add_argument("--pictures", type=_count, default=200, help="real pictures that the gate compares on")
    parser.add_argument("--calibration", type=_count, default=128, help="real pictures to quantise with")
    parser.add_argument("--force", action="store_true", help="make again what is there and has passed")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    engines = EngineOptions()
    parser.add_argument(
        "--batches", type=_batches, default=engines.batches, metavar="LEAST,BEST,LARGEST", help="that engines serve"
    )
    parser.add_argument("--capability", default=engines.capability, help="GPU that TensorRT-RTX builds for")
    parser.add_argument("--version-compatible", action="store_true", help="engines for later versions of TensorRT too")
    return parser.parse_args(arguments)


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _batches(text: str) -> tuple[int, int, int]:
    least, best, largest = map(int, text.split(","))
    return least, best, largest


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table; times also as a share of the released model's."""
    lines = ["| format | files | MB | ms | of released | gate | recall [95 %] |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        took, recall = row["milliseconds"], row["recall"]
        cells = [
            row["name"],
            ", ".join(row["files"]),
            f"{row['bytes'] / 1e6:.1f}",
            "not run" if took is None else f"{took:.1f}",
            "" if took is None else f"{took / rows[0]['milliseconds']:.2f}",
            ", ".join(f"{name} {value:.4g}" for name, value in row["gate"].items()),
            "" if recall is None else f"{recall.value:.3f} [{recall.low:.2f}, {recall.high:.2f}] (n = {recall.count})",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
