"""Views and erasing."""

from __future__ import annotations

import torch

from offline.training.metric.config import Augmentation
from offline.training.metric.erasing import erase_cells, erase_randomly, erase_salient
from offline.training.metric.pictures import centred, on_white
from offline.training.metric.views import Views


def _pixels() -> torch.Tensor:
    pixels = torch.randint(0, 256, (6, 32, 32, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels[..., 3] = 255
    pixels[:, :8, :, 3] = 0
    return pixels


def test_what_is_transparent_is_white() -> None:
    images = on_white(_pixels())
    assert images[:, :, :8].eq(1).all()
    torch.testing.assert_close(images[0, :, 20, 20] * 255, _pixels()[0, 20, 20, :3].float())
    assert centred(images).max() == 1


def test_views_are_images_that_the_seed_decides() -> None:
    views = Views(Augmentation(phone=1.0, turn=0.5), 32)
    query = torch.arange(6) % 2 == 1

    def make(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return views(_pixels(), query)

    for seed in range(5):
        images = make(seed)
        assert images.shape == (6, 3, 32, 32)
        assert images.min() >= 0
        assert images.max() <= 1
        torch.testing.assert_close(images, make(seed))
    assert not torch.equal(make(0), make(1))


def test_only_query_views_lie_in_clutter() -> None:
    torch.manual_seed(0)
    plain = torch.zeros(4, 32, 32, 4, dtype=torch.uint8)
    images = Views(Augmentation(crop=1.0, phone=1.0), 32)(plain, torch.tensor([False, True, False, True]))
    assert images[::2].eq(1).all()


def test_erasing_takes_its_share() -> None:
    torch.manual_seed(0)
    images = torch.rand(400, 3, 32, 32)
    for erased, share in ((erase_randomly(images, 1.0), 0.175), (erase_cells(images, 1.0), 0.3)):
        changed = (erased != images).all(dim=1).float().mean(dim=(1, 2))
        torch.testing.assert_close(changed.mean(), torch.tensor(share), atol=0.04, rtol=0)
    some = (erase_cells(images, 0.25) != images).flatten(1).any(dim=1).float().mean()
    torch.testing.assert_close(some, torch.tensor(0.25), atol=0.08, rtol=0)


def test_the_salient_place_is_erased() -> None:
    activation = torch.zeros(2, 4, 4)
    activation[:, 1, 2] = 1
    erased = erase_salient(torch.zeros(2, 3, 32, 32), 1.0, activation)
    assert erased[:, :, 8:16, 16:24].eq(0.5).all()
    assert erased.sum() == 2 * 3 * 64 * 0.5
