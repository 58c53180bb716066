"""Recipes as typed YAML: what a run depends on is one file, and a key that nobody reads is an error."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict


class YamlError(ValueError):
    """A file cannot be read, or does not describe what it should."""


class Frozen(BaseModel):
    """Part of a recipe: immutable, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Described = TypeVar("Described", bound=BaseModel)


def read_yaml(path: Path, kind: type[Described], what: str) -> Described:
    """The file as a `kind`, called `what` in messages.

    Raises YamlError naming the file and every key that is unknown or has a wrong value.
    """
    try:
        return kind.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        msg = f"no {what} at {path}: {error.strerror}"
        raise YamlError(msg) from error
    except (ValueError, yaml.YAMLError) as error:
        msg = f"{path} does not hold the {what} it should: {error}"
        raise YamlError(msg) from error


def write_yaml(value: BaseModel, path: Path) -> None:
    """All values, defaults too, so that a later change of a default does not change what the run was."""
    path.write_text(yaml.safe_dump(value.model_dump(mode="json"), sort_keys=False), encoding="utf-8")
