"""The hashing of imagededup, from its wheel.

Its package also imports a CNN, and with it torchvision, for which there is no build that fits beside the CPU's torch.
So the wheel is unpacked, and of its packages only the modules that hashing needs are run, unchanged.
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Final

from evaluation.programs import program, unpack_wheel

REQUIREMENT: Final = "imagededup==0.3.3.post2"
_WAVELETS: Final = "PyWavelets==1.9.0"


@cache
def hashing() -> ModuleType:
    """`imagededup.methods.hashing`, with AHash, DHash and PHash."""
    place = program(REQUIREMENT, _unpack)
    sys.path.append(str(place))
    for package in ("imagededup.methods", "imagededup.utils"):
        parent = ModuleType(package)  # whose __init__ would import the CNN
        parent.__path__ = [str(place / package.replace(".", "/"))]
        sys.modules[package] = parent
    module = importlib.import_module("imagededup.methods.hashing")
    module.logger.setLevel("WARNING")
    return module


def _unpack(place: Path) -> None:
    for requirement in (REQUIREMENT, _WAVELETS):
        unpack_wheel(requirement, place)
