from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
import torch

from offline.training.metric.attention import attention
from offline.training.metric.config import ExperimentError, Model
from offline.training.metric.neck import neck
from offline.training.metric.network import Average, GeM, Network
from offline.training.metric.trunk import build_trunk

_IMAGES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1


def _network(**switches: object) -> Network:
    torch.manual_seed(0)
    return Network(Model.model_validate({"pretrained": False, "dimension": 32, **switches})).eval()


@pytest.mark.parametrize("kind", ["spatial", "channel", "both"])
def test_attention_changes_nothing_at_first_and_learns(kind: str) -> None:
    torch.manual_seed(0)
    gates = attention(kind, 12)  # type: ignore[arg-type]
    x = torch.randn(2, 12, 4, 5)
    torch.testing.assert_close(gates(x), x)
    gates(x).square().sum().backward()
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in gates.parameters())


def test_gem_lies_between_average_and_maximum() -> None:
    x = torch.rand(2, 3, 4, 4) + 0.1
    torch.testing.assert_close(GeM(1.0)(x), Average()(x))
    torch.testing.assert_close(GeM(100.0)(x), x.amax(dim=(2, 3)), rtol=0.05, atol=0)


def test_a_cascade_joins_its_levels() -> None:
    features = _network(cascade=True, frozen_stages=0)(_IMAGES)
    assert [level.shape[1] for level in features.levels] == [8, 8, 16]
    torch.testing.assert_close(torch.cat(features.levels, dim=1), features.raw)


def test_frozen_stages_get_no_gradient() -> None:
    network = _network(frozen_stages=2)
    network(_IMAGES).vectors.sum().backward()
    graded = [{p.grad is not None for p in stage.parameters()} for stage in network.trunk.stages]
    assert graded == [{False}, {False}, {True}]


def test_statistics_of_a_domain_are_its_own() -> None:
    norm = neck("domain", 4)
    photo = torch.arange(40) % 2 == 0
    x = torch.randn(40, 4) + photo[:, None] * 5
    norm.train()
    for _ in range(60):
        made = norm(x, photo)
    torch.testing.assert_close(made[photo].mean(dim=0), torch.zeros(4), atol=1e-5, rtol=0)
    norm.eval()
    torch.testing.assert_close(norm(x, photo)[~photo].mean(dim=0), torch.zeros(4), atol=0.05, rtol=0)
    # Not knowing the domain, the gap between them stays.
    unknown = norm(x, None)
    assert unknown[photo].mean() - unknown[~photo].mean() > 1


def test_names_what_does_not_exist() -> None:
    with pytest.raises(ExperimentError, match="no backbone resnet"):
        build_trunk("resnet", pretrained=False, frozen=0)
    with pytest.raises(ExperimentError, match="nothing to train"):
        build_trunk("lite0", pretrained=False, frozen=3)


def test_a_timm_backbone_is_one_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    class Timm(torch.nn.Conv2d):
        num_features = 24

        def forward_features(self, x: torch.Tensor) -> torch.Tensor:
            return self(x)

    def create_model(name: str, *, pretrained: bool, num_classes: int) -> Timm:
        if name != "resnet10t":
            raise RuntimeError(name)
        return Timm(3, 24, 8, 8)

    # timm needs torchvision, which does not stand beside the CPU build of torch.
    monkeypatch.setitem(sys.modules, "timm", SimpleNamespace(create_model=create_model))
    features = _network(backbone="timm:resnet10t", frozen_stages=0)(_IMAGES)
    assert features.vectors.shape == (2, 32)
    assert features.maps.shape == (2, 24, 4, 4)
    with pytest.raises(ExperimentError, match="in stages"):
        _network(backbone="timm:resnet10t", frozen_stages=0, cascade=True)
    with pytest.raises(ExperimentError, match="timm has no magic"):
        _network(backbone="timm:magic", frozen_stages=0)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ExperimentError, match="not installed"):
        _network(backbone="timm:resnet10t", frozen_stages=0)
