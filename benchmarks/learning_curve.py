"""The images of one's own that a training needs: from scratch, and with `train --init`.

A share of the groups (patients, else near duplicates) is held out for good. Of the others 20, 50,
100 and 200 images are taken, each number containing the ones before it, and a network is trained
on them by the model's own recipe and from its initial weights, random or of ImageNet, and one that
goes on from the model. Both see the same images with the same validation and calibration parts;
the first gets the model's learning rate and at least as many epochs. All are scored on the same
held-out images, beside the model as it is. Images that the model knows are left out altogether.

Finished runs are left alone, so that the command can be repeated after a stop.

    python benchmarks/learning_curve.py DATA --init MODEL --output DIR --threads 2
"""

import argparse
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure as Canvas
from rich.console import Console
from rich.table import Table

from breastseg.core.fine_tuning import fine_tuning_recipe
from breastseg.core.recipe import Recipe
from breastseg.datasets.cases import CaseFiles
from breastseg.datasets.checked import CheckedData, check_data, find_training_data
from breastseg.evaluation.case_score import CaseScore
from breastseg.evaluation.confidence import bootstrap_interval
from breastseg.evaluation.scorecard import dice_difference
from breastseg.report.figures import COLOURS
from breastseg.training.checkpoint import Run
from breastseg.training.model import load_model, open_model
from breastseg.training.shipped import resolve_model
from breastseg.workflows.fine_tune import known_cases, open_beginning
from breastseg.workflows.judge import Judge, VolumeJudge
from breastseg.workflows.progress import log_to_terminal, silent_reading
from breastseg.workflows.train import Hardware, train

SIZES = (20, 50, 100, 200)
HEADINGS = {"scratch": "without the model", "init": "train --init"}
# No test part of their own: all are tested on the images that are held out for good.
ALIKE = ("split.test=0", "health=warn")


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The images to learn from, in the order in which they are taken, and those held out."""

    learnt: tuple[CaseFiles, ...]
    held_out: tuple[CaseFiles, ...]


def dealt(checked: CheckedData, model: Run, share: float, seed: int) -> Pool:
    """Hold a share of the groups out, and put the others in a random order, group by group."""
    known = {checked.groups[case_id] for case_id in known_cases(model, checked)}
    groups = sorted(set(checked.groups.values()) - known)
    order = [groups[place] for place in np.random.default_rng(seed).permutation(len(groups))]
    place = {group: number for number, group in enumerate(order)}
    new = [case for case in checked.data_set.cases if checked.groups[case.case_id] in place]
    new.sort(key=lambda case: place[checked.groups[case.case_id]])
    first = round(share * len(order))
    held_out = tuple(case for case in new if place[checked.groups[case.case_id]] < first)
    return Pool(learnt=tuple(new[len(held_out) :]), held_out=held_out)


def only(checked: CheckedData, cases: Sequence[CaseFiles]) -> CheckedData:
    """Return the data set as if it held these cases alone."""
    names = [case.case_id for case in checked.data_set.cases]
    chosen = sorted(names.index(case.case_id) for case in cases)
    kept = tuple(checked.data_set.cases[place] for place in chosen)
    ids = [case.case_id for case in kept]
    members = {
        name: replace(each, cases=tuple(case for case in each.cases if case.case_id in set(ids)))
        for name, each in checked.data_set.members.items()
    }
    return replace(
        checked,
        data_set=replace(checked.data_set, cases=kept, members=members),
        groups={each: checked.groups[each] for each in ids},
        content={each: checked.content[each] for each in ids},
        sketches=None if checked.sketches is None else checked.sketches[chosen],
    )


def recipes(model: Run, size: int, settings: Sequence[str]) -> dict[str, Recipe]:
    """Return the recipe from scratch, and the one that goes on from the model."""
    own = model.recipe
    tuned = fine_tuning_recipe(own, model.fingerprint, num_images=size)
    epochs = max(own.optimisation.epochs, tuned.optimisation.epochs)
    initial = "random" if own.begins_from else own.initial_weights
    scratch = own.model_copy(update={"split": tuned.split, "initial_weights": initial})
    return {
        "scratch": scratch.with_settings([f"optimisation.epochs={epochs}", *ALIKE, *settings]),
        "init": tuned.with_settings([*ALIKE, *settings]),
    }


def trained(checked: CheckedData, recipe: Recipe, path: Path, given: argparse.Namespace) -> Path:
    """Train what is not trained yet; one that was stopped begins anew."""
    if not (path / "checksums.json").is_file():
        shutil.rmtree(path, ignore_errors=True)
        init = given.init if recipe.begins_from else None
        hardware = Hardware(threads=given.threads)
        train(checked, recipe, framework=given.framework, output=path, init=init, hardware=hardware)
    return path


def scores(
    paths: Sequence[Path], cases: Sequence[CaseFiles], checked: CheckedData, threads: int | None
) -> list[list[CaseScore]]:
    """Score each model on the same images."""
    opened = [open_model(path) for path in paths]
    kind = VolumeJudge if opened[0].of_volumes else Judge
    judge = kind(
        models=[load_model(each, threads=threads) for each in opened],
        constants=[opened[0].runs[0].constant_mask()],
        groups=checked.groups,
        sha256=checked.content,
        threshold=None,
    )
    rows = [judge.score(case) for case in cases]
    return [list(column) for column in zip(*rows, strict=True)][: len(paths)]


@dataclass(frozen=True)
class Mean:
    """Of the Dice over lesion images, with its 95 % interval over groups."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def mean_dice(scored: Sequence[CaseScore]) -> Mean:
    """Return the mean Dice of a network."""
    lesion = [(each.dice, each.group) for each in scored if each.dice is not None]
    values = [dice for dice, _ in lesion]
    mean, span = float(np.mean(values)), bootstrap_interval(values, [group for _, group in lesion])
    return Mean(mean, *((span.low, span.high) if span else (mean, mean)))


def show(
    done: dict[int, dict[str, Path]], pool: Pool, checked: CheckedData, given: argparse.Namespace
) -> None:
    """Score all runs on the held-out images; print a line for each number of images, and plot."""
    paths = [path for pair in done.values() for path in pair.values()]
    *found, as_it_is = scores([*paths, given.init], pool.held_out, checked, given.threads)
    by_path = dict(zip(paths, found, strict=True))
    table = Table(title=f"Dice on {len(pool.held_out)} images that no network has seen")
    for heading in ("images", HEADINGS["scratch"], f"--init {given.init.name}", "difference"):
        table.add_column(heading)
    table.add_row("0", "", str(mean_dice(as_it_is)), "")
    for size, pair in done.items():
        scratch, init = (by_path[pair[name]] for name in ("scratch", "init"))
        difference = dice_difference(init, scratch)
        span = None if difference is None else difference.interval
        told = "" if difference is None else f"{difference.mean:+.3f}"
        told += f" [{span.low:+.3f}, {span.high:+.3f}]" if span else ""
        table.add_row(str(size), str(mean_dice(scratch)), str(mean_dice(init)), told)
    Console(width=120).print(table)
    if given.plot:
        curves = {
            HEADINGS[name]: [mean_dice(by_path[pair[name]]) for pair in done.values()]
            for name in HEADINGS
        }
        plot(given.plot, list(done), curves, mean_dice(as_it_is), len(pool.held_out))


def plot(
    path: Path, sizes: list[int], curves: dict[str, list[Mean]], as_it_is: Mean, num_images: int
) -> None:
    """Draw the curves with their intervals, and the model as it is as a line across."""
    canvas = Canvas(figsize=(6.4, 4), layout="constrained")
    axes = canvas.subplots()
    axes.axhline(as_it_is.value, color="0.4", linestyle=":", label="the model as it is")
    for (name, curve), colour, marker in zip(curves.items(), COLOURS, "so", strict=False):
        axes.plot(sizes, [each.value for each in curve], color=colour, marker=marker, label=name)
        low, high = [each.low for each in curve], [each.high for each in curve]
        axes.fill_between(sizes, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set_xscale("log")
    axes.set_xticks(sizes, labels=[str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("images of one's own, validation among them")
    axes.set_ylabel(f"mean Dice on {num_images} images held out")
    axes.set_ylim(0, 1)
    axes.legend(loc="lower right", frameon=False)
    canvas.savefig(path, dpi=130)


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--init", required=True, help="a run folder or a model that ships")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--framework", default="pytorch")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--held-out", type=float, default=0.4, help="share of the groups")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--threads", type=int)
    parser.add_argument("--plot", type=Path, help="a picture of the curves, such as curve.png")
    given = parser.parse_args()
    given.init = resolve_model(given.init)
    log_to_terminal(verbose=True)
    model = open_beginning(given.init)
    found = find_training_data(given.data, volumes=model.recipe.volume is not None)
    checked = check_data(found, silent_reading)
    pool = dealt(checked, model, given.held_out, given.seed)
    done: dict[int, dict[str, Path]] = {}
    for size in given.sizes:
        if size > len(pool.learnt):
            print(f"{size}: only {len(pool.learnt)} images are left to learn from")
            break
        part = only(checked, pool.learnt[:size])
        done[size] = {
            name: trained(part, recipe, given.output / f"{name}-{size}", given)
            for name, recipe in recipes(model, size, given.settings).items()
        }
    show(done, pool, checked, given)


if __name__ == "__main__":
    main()
