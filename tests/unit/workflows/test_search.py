"""The verb with a trainer that is told what to reach: ranking, gap, weights, time, interruption."""

import json
import logging
import time
from dataclasses import asdict

import pytest

from breastseg.core.errors import (
    HealthError,
    InputError,
    LayoutError,
    SearchFolderError,
    SearchSpaceError,
    SplitError,
)
from breastseg.core.recipe import read_recipe
from breastseg.core.recipes import smoke
from breastseg.core.search_space import parse_space
from breastseg.datasets.splits import DataSplit
from breastseg.training.checkpoint import create_run, open_run
from breastseg.training.state import EpochRecord
from breastseg.workflows import search_result, search_trials
from breastseg.workflows.search import report, search
from breastseg.workflows.search_plan import Repeats, parse_budget, plan_search

EPOCHS = 3
DICE = {"bce": 0.3, "dice": 0.8, "focal": 0.5, "jaccard": 0.6}


class Trainer:
    """Trains nothing: reaches a Dice by the loss of the recipe, and may be told to go wrong.

    on_loss: by loss, an exception to raise instead, once its first epoch is saved.
    """

    def __init__(self):
        self.recipes = []
        self.resumed = []
        self.on_loss = {}

    def train(self, data, recipe, *, framework, output, hardware, listener):
        self.recipes.append(recipe)
        create_run(
            output,
            recipe=recipe,
            split=DataSplit(method="none", parts={}, groups={}),
            environment={"framework": framework},
            content={},
        )
        self._epochs(output, recipe, listener, 1)

    def resume(self, path, *, data, hardware, listener):
        run = open_run(path)
        self.resumed.append(path)
        self._epochs(path, run.recipe, listener, run.state().epoch + 1)

    def _epochs(self, path, recipe, listener, first):
        name = recipe.loss[0].name
        history = list(open_run(path).state().history)
        for epoch in range(first, EPOCHS + 1):
            listener.step_done(epoch=epoch, step=1, num_steps=1, loss=1.0)
            dice = DICE[name] * epoch / EPOCHS + 0.01 * recipe.seed
            history.append(
                EpochRecord(
                    epoch=epoch,
                    loss=1.0,
                    validation_dice=dice,
                    validation_specificity=None,
                    learning_rate=0.1,
                    seconds=2.0,
                )
            )
            self._save(path, history)
            listener.epoch_done(history[-1], is_best=True)
            if error := self.on_loss.get(name):
                raise error
        (path / "checksums.json").write_text("{}")
        (path / "model.onnx").touch()

    def _save(self, path, history):
        (path / "last").mkdir(exist_ok=True)
        document = {
            "run_format": 1,
            "step": len(history),
            "epoch": len(history),
            "history": [asdict(record) for record in history],
            "sha256": {"weights": "0", "optimiser": "0"},
        }
        (path / "last" / "state.json").write_text(json.dumps(document))
        (path / "weights.safetensors").touch()


@pytest.fixture
def trainer(monkeypatch):
    trainer = Trainer()
    monkeypatch.setattr(search_trials, "train", trainer.train)
    monkeypatch.setattr(search_trials, "resume", trainer.resume)
    return trainer


@pytest.fixture(autouse=True)
def scored(monkeypatch):
    """Score nothing; return the runs and parts that a score was asked of."""
    asked = []

    def score_models(paths, data, *, split, **options):
        asked.append((split, [f"{path.parent.name}/{path.name}" for path in paths]))
        raise SplitError("scored by nobody")

    monkeypatch.setattr(search_result, "score_models", score_models)
    return asked


@pytest.fixture
def plan(busi_dir):
    def make(losses=("bce", "dice", "focal"), base=None, **options):
        space = parse_space({"name": "mine", "space": {"loss": list(losses)}}, source="test")
        base = (base or smoke()).with_settings([f"optimisation.epochs={EPOCHS}"])
        return plan_search(busi_dir, space, base, **options)

    return make


def losses_of(result):
    return [row["parameters"]["loss"] for row in result.document["table"]]


def test_trials_are_ranked_and_the_winner_is_ready_to_train(trainer, plan, tmp_path):
    result = search(plan(), output=tmp_path / "s")
    assert losses_of(result) == ["dice", "focal", "bce"]
    assert [row["rank"] for row in result.document["table"]] == [1, 2, 3]
    assert result.document["table"][0]["dice"] == pytest.approx(0.8)
    assert result.document["table"][0]["interval"] is None
    recipe = read_recipe(result.best_recipe_path)
    assert (recipe.name, recipe.loss[0].name) == ("best-of-mine", "dice")
    assert recipe.split.folds is None
    assert recipe.split.seed == 0, "another seed must not deal the test images out again"
    assert json.loads((tmp_path / "s" / "search.json").read_text()) == result.document
    page = (tmp_path / "s" / "search.html").read_text()
    assert "http" not in page.replace("http-equiv", "")
    assert "trial 0" in (tmp_path / "s" / "breastseg.log").read_text()


def test_only_the_winner_is_scored_and_only_once_it_is_known(trainer, plan, tmp_path, scored):
    the_plan = plan(repeats=Repeats(count=2))
    first = search(the_plan, output=tmp_path / "s", trials=1)
    best = first.document["winner"]
    assert {split for split, _ in scored} <= {"validation", "test"}
    scored.clear()
    result = search(the_plan, output=tmp_path / "s")
    assert losses_of(result)[0] == "dice"
    number = f"{result.document['winner']:04d}"
    assert scored == [("validation", [f"{number}/seed-0", f"{number}/seed-1"])]
    assert best in {0, 1, 2}
    assert result.document["selection_gap_missing"] == "scored by nobody"


def test_a_second_winner_on_test_is_told(trainer, plan, tmp_path, monkeypatch):
    """Who goes on searching after a look at the test part has chosen by it, too."""
    side = {"value": 0.5, "interval": None, "num_images": 2, "num_left_out": 0, "unit": None}
    gap = {"won_with": 0.8, "validation": side, "test": side, "gap": 0.0, "interval": None}
    gap |= {"constant_mask": None, "meaning": ""}
    monkeypatch.setattr(search_result, "_gap", lambda *arguments: gap)
    the_plan = plan(["bce", "dice", "focal"], seed=1)
    assert losses_of(search(the_plan, output=tmp_path / "s", trials=1)) == ["bce"]
    result = search(the_plan, output=tmp_path / "s")
    assert losses_of(result)[0] == "dice"
    assert result.document["scored_on_test"] == [0, result.document["winner"]]
    assert "no longer unseen" in (tmp_path / "s" / "search.html").read_text()


def test_an_interrupted_search_scores_nothing_on_test(trainer, plan, tmp_path, scored):
    trainer.on_loss["focal"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        search(plan(["focal"]), output=tmp_path / "s")
    assert scored == []
    document = json.loads((tmp_path / "s" / "search.json").read_text())
    assert document["num_trials"]["running"] == 1

    trainer.on_loss.clear()
    result = search(plan(["focal"]), output=tmp_path / "s")
    assert [path.name for path in trainer.resumed] == ["seed-0"]
    assert len(trainer.recipes) == 1, "the trial was resumed, not begun anew"
    assert result.document["table"][0]["epochs"] == EPOCHS


def test_seeds_are_repeated_on_one_split(trainer, plan, tmp_path):
    result = search(plan(repeats=Repeats(count=3)), output=tmp_path / "s", keep="all")
    row = result.document["table"][0]
    assert [each["label"] for each in row["repeats"]] == ["seed-0", "seed-1", "seed-2"]
    assert row["dice"] == pytest.approx(0.81)
    assert row["interval"]["low"] < 0.81 < row["interval"]["high"]
    assert {recipe.split_seed for recipe in trainer.recipes} == {0}


def test_folds_leave_the_test_part_alone(trainer, plan, tmp_path, scored):
    repeats = Repeats(kind="folds", count=2)
    result = search(plan(["dice"], repeats=repeats), output=tmp_path / "s")
    folds = [recipe.split.folds for recipe in trainer.recipes]
    assert [(each.count, each.fold, each.part) for each in folds] == [
        (2, 1, "validation"),
        (2, 2, "validation"),
    ]
    assert scored[0] == ("validation", ["0000/fold-1"]), "each fold has its own validation part"
    assert read_recipe(result.best_recipe_path).split.folds is None


def test_a_trial_that_a_health_check_stops_is_a_result_that_cannot_win(trainer, plan, tmp_path):
    trainer.on_loss["dice"] = HealthError("epoch 1: the loss is not finite.")
    result = search(plan(repeats=Repeats(count=2)), output=tmp_path / "s")
    assert losses_of(result) == ["focal", "bce", "dice"]
    row = result.document["table"][-1]
    assert (row["state"], row["rank"], row["cause"]) == (
        "stopped",
        None,
        "epoch 1: the loss is not finite.",
    )
    assert row["dice"] == pytest.approx(0.8 / EPOCHS)
    assert len(row["repeats"]) == 1, "the other seeds of a trial that cannot win are not trained"


def test_a_trial_that_fails_does_not_end_the_search(trainer, plan, tmp_path):
    trainer.on_loss["dice"] = MemoryError("too wide")
    result = search(plan(), output=tmp_path / "s")
    assert losses_of(result) == ["focal", "bce", "dice"]
    assert result.document["table"][-1]["cause"] == "MemoryError: too wide"
    assert result.num_failed == 1


def test_what_would_end_every_trial_ends_the_search_and_leaves_it_to_be_gone_on_with(
    trainer, plan, tmp_path
):
    trainer.on_loss.update(dict.fromkeys(DICE, LayoutError("the disk is gone")))
    with pytest.raises(LayoutError, match="the disk is gone"):
        search(plan(), output=tmp_path / "s")
    trainer.on_loss.clear()
    assert len(losses_of(search(plan(), output=tmp_path / "s"))) == 3


def test_weights_are_kept_of_the_best_alone(trainer, plan, tmp_path):
    result = search(plan(), output=tmp_path / "s")
    kept = [path.parent.parent.name for path in tmp_path.glob("s/trials/*/*/weights.safetensors")]
    assert kept == [f"{result.document['winner']:04d}"]
    assert len(list(tmp_path.glob("s/trials/*/*/recipe.json"))) == 3
    search(plan(), output=tmp_path / "all", keep="all")
    assert len(list(tmp_path.glob("all/trials/*/*/weights.safetensors"))) == 3


def test_the_time_is_up_at_the_end_of_an_epoch_and_the_trial_goes_on_later(
    trainer, plan, tmp_path, monkeypatch
):
    clock = iter(range(1000))
    monkeypatch.setattr(search_trials.time, "time", lambda: time.monotonic() + 100 * next(clock))
    result = search(plan(), output=tmp_path / "s", budget_seconds=250)
    assert result.document["num_trials"]["running"] == 1
    assert result.document["table"][-1]["epochs"] in (1, 2)
    monkeypatch.undo()
    monkeypatch.setattr(search_trials, "train", trainer.train)
    monkeypatch.setattr(search_trials, "resume", trainer.resume)
    again = search(plan(), output=tmp_path / "s", budget_seconds=3600)
    assert losses_of(again) == ["dice", "focal", "bce"]
    assert len(trainer.recipes) == 3
    assert len(trainer.resumed) == 1


def test_hopeless_trials_are_pruned_and_ranked_apart(trainer, plan, tmp_path):
    losses = ["dice", "jaccard", *(f"dice:{weight}" for weight in (2, 3, 4, 5, 6)), "bce"]
    the_plan = plan(losses, pruner="median", repeats=Repeats(count=2), seed=1)
    result = search(the_plan, output=tmp_path / "s")
    pruned = [row for row in result.document["table"] if row["state"] == "pruned"]
    assert pruned
    for row in pruned:
        assert row["parameters"]["loss"] in ("bce", "jaccard")
        assert row["cause"] == "given up after epoch 2 of 3"
        assert len(row["repeats"]) == 1


def test_a_combination_that_comes_up_again_is_not_trained_again(trainer, plan, tmp_path):
    result = search(plan(["bce", "dice"], strategy="tpe"), output=tmp_path / "s", trials=5)
    assert len(result.document["table"]) == 5
    assert len(trainer.recipes) == len(set(losses_of(result)))
    same = [row["number"] for row in result.document["table"] if row["rank"] and row["dice"] > 0.7]
    assert result.document["winner"] == min(same), "the one that has the weights"


def test_another_search_in_the_folder_is_refused_with_the_difference(trainer, plan, tmp_path):
    search(plan(), output=tmp_path / "s")
    other = smoke().with_settings(["optimisation.batch_size=2"])
    with pytest.raises(SearchFolderError, match=r"optimisation.batch_size 4 instead of 2"):
        search(plan(base=other), output=tmp_path / "s")
    with pytest.raises(SearchFolderError, match=r"repeats.count 1 instead of 2"):
        search(plan(repeats=Repeats(count=2)), output=tmp_path / "s")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").touch()
    with pytest.raises(SearchFolderError, match="holds something else"):
        search(plan(), output=tmp_path / "taken")


def test_a_search_of_other_images_is_another_search(trainer, plan, tmp_path, busi_dir):
    search(plan(), output=tmp_path / "s")
    picture = busi_dir / "benign" / "benign (1).png"
    picture.write_bytes((busi_dir / "normal" / "normal (1)_mask.png").read_bytes())
    with pytest.raises(SearchFolderError, match="data_fingerprint"):
        search(plan(), output=tmp_path / "s")


def test_a_report_is_written_anew_without_training(trainer, plan, tmp_path, scored):
    search(plan(), output=tmp_path / "s", trials=2)
    (tmp_path / "s" / "search.html").unlink()
    scored.clear()
    result = report(tmp_path / "s")
    assert len(result.document["table"]) == 2
    assert (tmp_path / "s" / "search.html").is_file()
    assert scored
    with pytest.raises(SearchFolderError, match="no such folder"):
        report(tmp_path / "elsewhere")


def test_a_damaged_plan_is_told(trainer, plan, tmp_path):
    search(plan(["dice"]), output=tmp_path / "s")
    path = tmp_path / "s" / "plan.json"
    whole = path.read_text()
    for text, told in (
        ("{", "expected a search plan"),
        ('{"schema_version": 9}', "schema version 1, got 9"),
        ('{"schema_version": 1}', "KeyError"),
    ):
        path.write_text(text)
        with pytest.raises(SearchFolderError, match=told):
            report(tmp_path / "s")
    path.write_text(whole)
    report(tmp_path / "s")


def test_the_strategy_is_a_grid_only_where_it_is_small(plan, busi_dir):
    assert (plan().strategy, plan().pruner) == ("grid", "none")
    many = {"optimisation.batch_size": {"low": 1, "high": 60}}
    large = plan_search(busi_dir, parse_space({"space": many}, source="test"), smoke())
    assert (large.strategy, large.pruner) == ("tpe", "median")
    free = {"optimisation.learning_rate": {"low": 1e-4, "high": 1e-2}}
    with pytest.raises(SearchSpaceError, match="List values"):
        plan_search(busi_dir, parse_space({"space": free}, source="test"), smoke(), strategy="grid")


def test_the_longest_training_is_known_to_the_pruner(busi_dir):
    space = parse_space({"space": {"optimisation.epochs": [5, 70]}}, source="test")
    assert plan_search(busi_dir, space, smoke()).study().max_epochs == 70


@pytest.mark.parametrize("text", ["", "30", "m", "30 minutes", "-5m", "0s", "1h 30m"])
def test_a_budget_needs_a_number_and_a_unit(text):
    with pytest.raises(InputError, match="--budget"):
        parse_budget(text)


def test_repeats_must_repeat():
    with pytest.raises(InputError, match="--folds 1"):
        Repeats(kind="folds", count=1)


def test_messages_of_the_trainings_stay_out_of_the_search_log(trainer, plan, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    real = trainer.train

    def train(*arguments, **options):
        logging.getLogger("breastseg.training.fit").info("epoch 1/3")
        real(*arguments, **options)

    search_trials.train = train
    search(plan(["dice"]), output=tmp_path / "s")
    assert "epoch 1/3" not in (tmp_path / "s" / "breastseg.log").read_text()
