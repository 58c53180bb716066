"""The training loop as Lightning runs it."""

from __future__ import annotations

import math
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from offline.training.metric import erasing, losses
from offline.training.metric.batches import Batch, Corpus, TrainingBatches, ValidationBatches
from offline.training.metric.config import Experiment
from offline.training.metric.network import Network
from offline.training.metric.objective import Objective
from offline.training.metric.pictures import centred, on_white
from offline.training.metric.views import Views
from offline.training.speed import channels_last


class Learner(nn.Module):
    """A network and what it is taught."""

    def __init__(self, experiment: Experiment, data: Corpus, backbone: str | None = None) -> None:
        super().__init__()
        self.network = Network(experiment.model, backbone)
        self.objective = Objective(experiment, len(data.products), tuple(map(len, data.tasks.values())))
        channels_last(self.network)

    def activation(self, images: Tensor, batch: Batch) -> Tensor:
        """Where the network sees the class of images (n, 3, s, s) in -1..1: maps (n, h, w), at least 0.

        Selvaraju et al., Grad-CAM, ICCV 2017: holds for any pooling and classifier. Of pictures without a class, where
        it sees the likeliest.
        """
        self.network.eval()
        with torch.enable_grad():
            features = self.network(images, batch.photo)
            logits = self.objective.classifier.get_logits(features.vectors)
            known = batch.product.clamp(max=logits.shape[1] - 1)[:, None]
            own = torch.where(batch.product < logits.shape[1], logits.gather(1, known)[:, 0], logits.amax(dim=1))
            (gradient,) = torch.autograd.grad(own.sum(), features.maps)
        self.network.train()
        weights = gradient.mean(dim=(2, 3), keepdim=True)
        maps: Tensor = (weights * features.maps.detach()).sum(dim=1).clamp(min=0)
        return maps


class Training(lightning.LightningModule):
    """The deployed learner, with `mutual` a second one of another backbone, with `distil` a finished teacher.

    Every batch seeds torch by its number, so that a resumed run draws what an uninterrupted one does.
    """

    def __init__(self, experiment: Experiment, data: Corpus, teacher: Learner | None = None) -> None:
        super().__init__()
        self._how = experiment
        peer = experiment.peer
        self.learner = Learner(experiment, data)
        self.peer = Learner(experiment, data, peer.backbone) if peer and peer.kind == "mutual" else None
        # In a list, so that the teacher is neither trained nor saved.
        self._teacher = [] if teacher is None else [teacher.eval().requires_grad_(False)]
        self.views = Views(experiment.augmentation, experiment.data.size)
        self._validation: list[Tensor] = []

    def training_step(self, batch: Batch, index: int) -> Tensor:
        del index
        torch.manual_seed((self._how.seed * 1_000_003 + int(batch.number)) * 1_009 + self.global_rank)
        images = self._erased(self.views(batch.pixels, batch.query), batch)
        parts = self._losses(centred(images), batch)
        total = torch.stack(list(parts.values())).sum()
        self.log_dict({f"train/{name}": part.detach() for name, part in (*parts.items(), ("loss", total))})
        return total

    def _losses(self, images: Tensor, batch: Batch) -> dict[str, Tensor]:
        features = self.learner.network(images, batch.photo)
        peer = None if self.peer is None else (self.peer.objective, self.peer.network(images, batch.photo))
        # Half precision is for the networks alone: margins and temperatures need more.
        with torch.autocast(self.device.type, enabled=False):
            parts: dict[str, Tensor] = self.learner.objective(features, batch)
            how = self._how.peer
            if how is None:
                return parts
            logits = self.learner.objective.logits(features, batch)
            if peer is None:
                theirs = self._taught(images, batch)
            else:
                objective, others = peer
                parts |= {f"peer {name}": part for name, part in objective(others, batch).items()}
                theirs = objective.logits(others, batch)
                parts["peer agreement"] = how.weight * losses.agreement(theirs, logits, how.temperature)
            parts["agreement"] = how.weight * losses.agreement(logits, theirs, how.temperature)
        return parts

    @torch.no_grad()
    def _taught(self, images: Tensor, batch: Batch) -> Tensor:
        """The teacher's logits."""
        teacher = self._teacher[0].to(self.device)
        return teacher.objective.logits(teacher.network(images, batch.photo), batch)

    def _erased(self, images: Tensor, batch: Batch) -> Tensor:
        how = self._how.augmentation
        match how.erase:
            case "none":
                return images
            case "random":
                return erasing.erase_randomly(images, how.erase_chance)
            case "bernoulli":
                return erasing.erase_cells(images, how.erase_chance)
            case "adversarial":
                return erasing.erase_salient(images, how.erase_chance, self.learner.activation(centred(images), batch))

    def validation_step(self, batch: Batch, index: int) -> None:
        """Classification (0 without it) and the attributes' losses on pictures of trained products."""
        del index
        features = self.learner.network(centred(on_white(batch.pixels)), batch.photo)
        objective = self.learner.objective
        product = features.raw.new_zeros(())
        if objective.classifier is not None:
            product = objective.classifier(features.vectors, batch.product)
        self._validation.append(torch.stack([product, *objective.attributes(features, batch)]))

    def on_validation_epoch_end(self) -> None:
        here = torch.stack(self._validation).mean(dim=0)
        means = torch.as_tensor(self.all_gather(here)).reshape(-1, len(here)).mean(dim=0)
        self._validation.clear()
        trend = self.learner.objective.trend
        trend.update(means[1:])
        tasks = self._how.tasks.attributes
        self.log("validation/classification", means[0])
        self.log_dict({f"validation/task {name}": loss for name, loss in zip(tasks, means[1:], strict=True)})
        self.log_dict({f"weight/{name}": weight for name, weight in zip(tasks, trend.weights, strict=True)})

    def configure_optimizers(self) -> Any:
        how = self._how.optimisation
        groups: dict[float, list[nn.Parameter]] = {how.backbone_rate: [], how.centre_rate: [], how.rate: []}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                late = how.centre_rate if ".classifier." in name else how.rate
                groups[how.backbone_rate if ".trunk." in name else late].append(parameter)
        optimiser = torch.optim.AdamW(
            [{"params": parameters, "lr": rate} for rate, parameters in groups.items() if parameters],
            weight_decay=how.weight_decay,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self._pace)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _pace(self, step: int) -> float:
        """Linear warm-up, then a cosine down to a hundredth."""
        how = self._how.optimisation
        if step < how.warmup:
            return (step + 1) / how.warmup
        done = (step - how.warmup) / max(1, how.steps - how.warmup)
        return 0.01 + 0.99 * (1 + math.cos(math.pi * min(1.0, done))) / 2


class Loaders(lightning.LightningDataModule):
    """The batches of each epoch by their numbers; an epoch is the steps between two validations."""

    def __init__(self, experiment: Experiment, data: Corpus) -> None:
        super().__init__()
        self._how = experiment
        self._data = data

    def train_dataloader(self) -> DataLoader[Batch]:
        if self.trainer is None:
            msg = "batches are numbered by a trainer's epoch"
            raise RuntimeError(msg)
        how = self._how.optimisation
        batches = TrainingBatches(self._data, self._how, self.trainer.global_rank)
        each = how.validate_every * how.accumulate
        start = self.trainer.current_epoch * each
        numbers = range(start, min(start + each, len(batches)))
        return DataLoader(batches, batch_size=None, sampler=numbers, num_workers=how.workers)

    def val_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(ValidationBatches(self._data, self._how), batch_size=None)
