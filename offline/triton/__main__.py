"""`python -m offline.triton --platform PLATFORM`: Triton's model repository, made from the released models.

Exits with 2 when a model cannot be served as asked.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

try:
    import tritonclient.grpc  # noqa: F401 - what the config's text is made with
except ModuleNotFoundError:
    print("offline.triton needs the package tritonclient: pip install 'shiwu[triton]'", file=sys.stderr)
    sys.exit(2)
from offline.triton.config import Platform
from offline.triton.policy import PolicyError, read_policies
from offline.triton.repository import Engines, Precision, RepositoryError, write_model
from shiwu.inference.manifest import FILE_NAME, ManifestError, read_manifest


def main(arguments: list[str] | None = None) -> int:
    """Writes the repository, prints what is in it, and returns the exit code."""
    options = _options(arguments)
    try:
        for path in _written(options):
            print(path)
    except (PolicyError, RepositoryError, ManifestError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _written(options: argparse.Namespace) -> Iterator[Path]:
    """Writes one model after the other."""
    policies, engines = read_policies(options.policy), Engines(options.exported, options.precision)
    releases = {read_manifest(path.parent).name: path.parent for path in sorted(options.models.glob(f"*/{FILE_NAME}"))}
    if not releases:
        msg = f"no released model in {options.models}"
        raise RepositoryError(msg)
    if unknown := sorted(policies.models.keys() - releases):
        msg = f"{options.policy} names {', '.join(unknown)}; the models are {', '.join(releases)}"
        raise RepositoryError(msg)
    for name, release in releases.items():
        yield write_model(release, options.out, options.platform, policies.of(name), engines)


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m offline.triton", description=__doc__)
    parser.add_argument(
        "--platform",
        choices=get_args(Platform),
        required=True,
        help="tensorrt_plan: engines on a GPU; onnxruntime_onnx: the released files, on a GPU if there is one; "
        "python: the released files on a CPU, where Triton has only its python backend",
    )
    parser.add_argument("--models", type=Path, default=Path("models"), help="folder of the released models")
    parser.add_argument("--out", type=Path, default=Path("build/triton/models"), help="the model repository")
    parser.add_argument("--policy", type=Path, default=Path("deploy/triton/policy.yaml"), help="batches and queues")
    parser.add_argument("--exported", type=Path, default=Path("build/export"), help="where offline.export wrote to")
    parser.add_argument("--precision", choices=get_args(Precision), default="float16", help="of the engines")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
