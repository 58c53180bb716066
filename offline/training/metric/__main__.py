"""`python -m offline.training.metric EXPERIMENT.yaml --data DIR`: trains, measures and, if asked to, releases."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from lightning.pytorch.utilities import rank_zero_only

from offline.training.embedder.__main__ import table
from offline.training.embedder.retrieval import Report
from offline.training.items import Item
from offline.training.metric.batches import corpus
from offline.training.metric.config import Experiment, read_experiment
from offline.training.metric.loaders import load_sets
from offline.training.metric.network import Deployed
from offline.training.metric.pictures import FILL
from offline.training.metric.run import load_learner, run
from offline.training.release import release_embedder
from offline.training.speed import keep_memory
from shiwu.inference.manifest import Preprocessing


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m offline.training.metric", description=__doc__)
    parser.add_argument("experiment", type=Path, help="a YAML file; see offline/training/metric/config.py")
    parser.add_argument("--data", type=Path, required=True, help="folder with the image sets")
    parser.add_argument("--out", type=Path, help="folder of the run (resumed); runs/metric/NAME unless told")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of the CPU")
    parser.add_argument("--release", type=Path, help="folder to write ONNX file and manifest to")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_memory()
    experiment = read_experiment(options.experiment)
    folder = options.out or Path("runs/metric") / experiment.name
    items = load_sets(options.data, experiment.data.sets)
    _answer(run(experiment, items, folder, bar=True), experiment, items, folder, options.release)


@rank_zero_only
def _answer(
    report: dict[str, Report], experiment: Experiment, items: tuple[Item, ...], folder: Path, release: Path | None
) -> None:
    """Prints the measurements and writes the release; of several processes only one does."""
    print(table(report))
    if release:
        network = load_learner(folder, experiment, corpus(items, experiment)).network
        how = Preprocessing(size=experiment.data.size, fit="letterbox", fill=FILL, margin=0.05)
        difference = release_embedder(Deployed(network), experiment.name, "1", how, experiment.model.dimension, release)
        print(f"{release}: ONNX differs from torch by {difference:.1e}")


if __name__ == "__main__":
    main()
