"""Which loss is best? Train one network with each loss at an equal budget, and score them all.

The same split, network, optimiser, schedule and number of epochs for every loss; only the loss
and the seed differ. Training can be interrupted and repeated: finished runs are left alone. Give
the same command in several shells to train several runs at once.

    python benchmarks/loss_study.py train DATA --output DIR --threads 1
    python benchmarks/loss_study.py table DATA --output DIR
"""

import argparse
import dataclasses
import itertools
import logging
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from breastseg.core.errors import RunFolderError
from breastseg.core.recipe import Recipe
from breastseg.core.recipes import resolve_recipe
from breastseg.evaluation.comparison import compare_pairs
from breastseg.evaluation.confidence import bootstrap_interval
from breastseg.evaluation.scorecard import Contender
from breastseg.training.checkpoint import open_run
from breastseg.workflows.progress import silent_reading
from breastseg.workflows.scoring import score_models
from breastseg.workflows.train import Hardware, resume, train

LOSSES = ("bce", "dice", "bce-dice", "focal", "tversky")
SEEDS = {"pytorch": (0, 1, 2), "tensorflow": (0,)}
EPOCHS = 14


def recipe(loss: str, seed: int) -> Recipe:
    """Return the recipe of one run of the study."""
    return resolve_recipe("ultrasound-scratch").with_settings(
        [
            "name=loss-study",
            "network=unet-256",
            f"loss={loss}",
            f"seed={seed}",
            "split.seed=0",
            f"optimisation.epochs={EPOCHS}",
            "optimisation.schedule.warmup_epochs=1",
            "health=warn",
        ]
    )


def runs() -> list[tuple[str, str, int]]:
    """Return framework, loss and seed of all runs, a whole round of losses at a time."""
    rounds = sorted(
        ((framework, seed) for framework, seeds in SEEDS.items() for seed in seeds),
        key=lambda each: each[1],
    )
    return [
        (framework, loss, seed) for (framework, seed), loss in itertools.product(rounds, LOSSES)
    ]


def folder(output: Path, framework: str, loss: str, seed: int) -> Path:
    """Return the run folder of one run of the study."""
    return output / f"{loss}-{framework}-{seed}"


def train_all(data: Path, output: Path, threads: int | None) -> None:
    """Train what is not trained yet and not being trained by another process."""
    hardware = Hardware(device="cpu", threads=threads)
    for framework, loss, seed in runs():
        path = folder(output, framework, loss, seed)
        try:
            if (path / "checksums.json").is_file():
                continue
            if (path / "recipe.json").is_file():
                resume(path, hardware=hardware)
            else:
                train(data, recipe(loss, seed), framework=framework, output=path, hardware=hardware)
        except RunFolderError as busy:
            logging.info("%s", busy)


def print_table(data: Path, output: Path, split: str) -> None:
    """Score every run on the same images; seeds are averaged image by image."""
    chosen = runs()
    paths = [folder(output, *each) for each in chosen]
    for path in paths:
        open_run(path).weights()
    scored = score_models(
        paths,
        data,
        split=split,
        allow_leakage=split != "test",
        threshold=None,
        threads=None,
        reading=silent_reading,
    )
    table = Table(title=f"{scored.details['Scored on']}")
    for heading in ("framework", "loss", "Dice [95 %]", "each seed", "sensitivity", "specificity"):
        table.add_column(heading)
    models = dict(zip(chosen, scored.model_contenders, strict=True))
    for framework, seeds in SEEDS.items():
        for loss in LOSSES:
            table.add_row(framework, loss, *_cells([models[framework, loss, s] for s in seeds]))
    for baseline in scored.contenders[len(chosen) :]:
        table.add_row("", baseline.name, *_cells([baseline]))
    console = Console(width=140)
    console.print(table)
    averaged = [
        _average(loss, [models["pytorch", loss, seed] for seed in SEEDS["pytorch"]])
        for loss in LOSSES
    ]
    for pair in compare_pairs(averaged):
        span = pair.difference.interval
        between = f"[{span.low:+.3f}, {span.high:+.3f}]" if span else ""
        told = f"{pair.first} minus {pair.second}: {pair.difference.mean:+.3f} {between}"
        console.print(f"{told}, p = {pair.p_holm:.4f} (Holm)")


def _average(name: str, seeds: list[Contender]) -> Contender:
    """Return a contender whose Dice of each image is the mean over seeds."""
    scores = []
    for same in zip(*(each.scores for each in seeds), strict=True):
        dice = None if same[0].dice is None else float(np.mean([score.dice for score in same]))
        scores.append(dataclasses.replace(same[0], dice=dice))
    return Contender(name=name, scores=scores)


def _cells(seeds: list[Contender]) -> list[str]:
    """Return Dice with interval, Dice of each seed, sensitivity and specificity."""
    lesion = [[score for score in each.scores if score.has_lesion] for each in seeds]
    normal = [score for each in seeds for score in each.scores if not score.has_lesion]
    dice = np.array([[score.dice for score in each] for each in lesion], float)
    mean = dice.mean(axis=0)
    interval = bootstrap_interval(mean.tolist(), [score.group for score in lesion[0]])
    assert interval is not None
    return [
        f"{mean.mean():.3f} [{interval.low:.3f}, {interval.high:.3f}]",
        " ".join(f"{each.mean():.3f}" for each in dice),
        f"{np.mean(dice > 0):.2f}",
        f"{1 - np.mean([score.predicted_lesion for score in normal]):.2f}",
    ]


def main() -> None:
    """Train or print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("train", "table"))
    parser.add_argument("data", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--split", default="test")
    given = parser.parse_args()
    if given.what == "train":
        train_all(given.data, given.output, given.threads)
    else:
        print_table(given.data, given.output, given.split)


if __name__ == "__main__":
    main()
