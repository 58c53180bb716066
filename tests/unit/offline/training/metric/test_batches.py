from __future__ import annotations

import pytest
import torch

from offline.training.items import Item
from offline.training.metric.batches import TrainingBatches, ValidationBatches, corpus
from offline.training.metric.config import ExperimentError

from .conftest import experiment


def test_held_out_products_are_neither_trained_nor_validated(items: tuple[Item, ...]) -> None:
    data = corpus(items, experiment())
    held = {item.product_id for item in data.held_out}
    assert len(held) == 2
    assert not held & {item.product_id for item in (*data.train, *data.validation, *data.known)}
    assert len(data.train) + len(data.validation) == 20
    assert data.validation


def test_a_batch_depends_on_its_number_and_the_seed_alone(items: tuple[Item, ...]) -> None:
    how = experiment()
    first, second = (TrainingBatches(corpus(items, how), how)[3] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    other = TrainingBatches(corpus(items, how), experiment(seed=5))[3]
    assert not torch.equal(first.pixels, other.pixels)


def test_balanced_products_show_their_photo_on_the_query_side(items: tuple[Item, ...]) -> None:
    how = experiment(batches={"balance": "domain", "views": 4}, data={"validation": 0})
    for number in range(4):
        batch = TrainingBatches(corpus(items, how), how)[number]
        assert torch.equal(batch.photo, batch.query)
        assert batch.product.bincount().tolist() == [4, 4, 4, 4]


def test_a_single_picture_comes_twice_and_is_no_class(items: tuple[Item, ...]) -> None:
    how = experiment(batches={"singles": 2}, tasks={"attributes": ["colour", "category"]})
    batch = TrainingBatches(corpus(items, how), how)[0]
    assert batch.product[-4:].tolist() in ([4, 4, 5, 5], [5, 5, 4, 4])
    assert batch.query[-4:].tolist() == [False, True, False, True]
    assert batch.attributes.shape == (12, 2)
    assert (batch.attributes >= 0).all()


def test_validation_pictures_come_in_order(items: tuple[Item, ...]) -> None:
    how = experiment()
    data = corpus(items, how)
    batches = ValidationBatches(data, how, size=3)
    assert sum(len(batches[i].product) for i in range(len(batches))) == len(data.validation)
    assert (batches[0].product >= 0).all()


def test_refuses_an_attribute_that_nothing_has(items: tuple[Item, ...]) -> None:
    with pytest.raises(ExperimentError, match="brand"):
        corpus(items, experiment(tasks={"attributes": ["brand"]}))
