"""Recipes as YAML: what is unknown is refused, what is read is what was written."""

from pathlib import Path

import pytest

from offline.training.detector.__main__ import RELEASE
from offline.training.detector.config import Loss, Model, Recipe
from offline.training.typed_yaml import YamlError, read_yaml, write_yaml


def test_a_recipe_comes_back_as_it_was_written(tmp_path: Path) -> None:
    recipe = Recipe(seed=4, model=Model(head="points", size=512), loss=Loss(objectness="focal"))
    write_yaml(recipe, tmp_path / "r.yaml")
    assert read_yaml(tmp_path / "r.yaml", Recipe, "recipe") == recipe


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{model: {heads: points}}", r"model\.heads"),
        ("{model: {size: 640}}", r"model\.size"),
        ("{loss: {objectness: best}}", r"loss\.objectness"),
        ("{pictures: {mix: {scenes: 1}}}", r"pictures\.mix\.scenes"),
        ("{data: {held_out: 1.0}}", r"data\.held_out"),
        ("[", "r.yaml"),
    ],
)
def test_names_what_is_wrong(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(YamlError, match=named):
        read_yaml(tmp_path / "r.yaml", Recipe, "recipe")


def test_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(YamlError, match="no recipe at"):
        read_yaml(tmp_path / "none.yaml", Recipe, "recipe")


def test_the_recipe_of_the_release_can_be_read() -> None:
    assert read_yaml(RELEASE, Recipe, "recipe").optimisation.steps > 0
