"""The study: numbers decide parameters, a lock decides whose trial it is."""

import importlib
import json
import multiprocessing
import sys

import pytest

from breastseg.core.errors import MissingExtraError, SearchFolderError
from breastseg.core.search_space import parse_space
from breastseg.training.lock import only_trainer
from breastseg.training.sampling import StudyPlan, shuffled_cells
from breastseg.training.search import Repeat, open_study

GRID = {"loss": ["bce", "dice", "focal"], "optimisation.learning_rate": [0.001, 0.01]}
FREE = {"optimisation.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}


def plan_of(space=GRID, *, strategy="grid", pruner="none", epochs=6, seed=0):
    return StudyPlan(
        name="test",
        space=parse_space({"space": space}, source="test"),
        strategy=strategy,
        pruner=pruner,
        seed=seed,
        max_epochs=epochs,
    )


def repeat(dice, **changes):
    values = {"label": "seed-0", "best_epoch": 1, "epochs": 2, "seconds": 1.5, **changes}
    return Repeat(dice=dice, **values)


def run_all(study, limit=6, judge=lambda trial: 0.5):
    """Finish every trial that can be had, and return their numbers."""
    numbers = []
    while True:
        with study.claim(limit) as trial:
            if trial is None:
                return numbers
            numbers.append(trial.number)
            trial.finish([repeat(judge(trial))])


def parameters(study, limit=None):
    return [tuple(record.parameters.values()) for record in study.records(limit)]


def test_a_grid_trains_each_combination_once_in_an_order_of_its_seed(tmp_path):
    study = open_study(plan_of(), storage=None, folder=tmp_path)
    assert run_all(study) == list(range(6))
    expected = [tuple(cell.values()) for cell in shuffled_cells(plan_of().space, 0)]
    assert parameters(study) == expected
    assert len(set(expected)) == 6
    assert run_all(study) == []


def test_a_trial_that_was_left_is_taken_up_with_its_parameters(tmp_path):
    """As after a kill: the lock is free, the study still says that it runs."""
    study = open_study(plan_of(), storage=None, folder=tmp_path)
    with study.claim(6) as left:
        assert left.report(1, 0.4) is False
    again = open_study(plan_of(), storage=None, folder=tmp_path)
    with again.claim(6) as taken:
        assert (taken.number, taken.parameters) == (left.number, left.parameters)
        assert taken.path == left.path
        taken.report(1, 0.4)
        taken.report(2, 0.6)
        taken.finish([repeat(0.6)])
    record = again.records()[0]
    assert (record.state, record.value, record.dice) == ("complete", 0.6, {1: 0.4, 2: 0.6})


def test_a_trial_that_is_being_trained_is_left_alone(tmp_path):
    study = open_study(plan_of(), storage=None, folder=tmp_path)
    other = open_study(plan_of(), storage=None, folder=tmp_path)
    with study.claim(6) as first, other.claim(6) as second:
        assert {first.number, second.number} == {0, 1}
        assert study.in_hand(study.records()[0])
    assert not study.in_hand(study.records()[0])


def test_the_trial_of_another_machine_waits_for_it_or_is_adopted(tmp_path, monkeypatch):
    study = open_study(plan_of(), storage=None, folder=tmp_path)
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    with study.claim(6):
        pass
    monkeypatch.undo()
    assert study.in_hand(study.records()[0])
    with study.claim(6) as trial:
        assert trial.number == 1
    with study.claim(6, adopt=True) as trial:
        assert trial.number == 0


def test_a_number_drawn_beyond_the_last_stays_open_until_more_are_wanted(tmp_path, monkeypatch):
    study = open_study(plan_of(), storage=None, folder=tmp_path)
    run_all(study, limit=2)
    # Another process has drawn the last number between the count and the draw.
    with monkeypatch.context() as patch:
        patch.setattr(type(study._study), "get_trials", lambda *args, **kwargs: [])
        with study.claim(2) as trial:
            assert trial is None
    assert [record.state for record in study.records()] == ["complete", "complete", "running"]
    assert len(study.records(2)) == 2
    assert run_all(study, limit=6) == [2, 3, 4, 5]
    assert len(set(parameters(study))) == 6


@pytest.mark.parametrize("strategy", ["random", "tpe"])
def test_what_is_drawn_depends_on_seed_and_number_alone(tmp_path, strategy):
    drawn = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        plan = plan_of(FREE, strategy=strategy, seed=seed)
        for _ in range(3):
            # A process of its own for each trial: no stream of numbers goes on in it.
            study = open_study(plan, storage=None, folder=tmp_path / name)
            with study.claim(3) as trial:
                trial.finish([repeat(0.5)])
        drawn.append(parameters(study))
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 3


def test_random_never_draws_a_combination_twice_where_they_can_be_counted(tmp_path):
    study = open_study(plan_of(strategy="random"), storage=None, folder=tmp_path)
    run_all(study)
    assert len(set(parameters(study))) == 6


def test_tpe_goes_where_it_was_good(tmp_path):
    plan = plan_of(FREE, strategy="tpe")
    study = open_study(plan, storage=None, folder=tmp_path)
    run_all(
        study, limit=30, judge=lambda trial: trial.parameters["optimisation.learning_rate"] * 50
    )
    rates = [rate for (rate,) in parameters(study)]
    assert sum(rates[20:]) / 10 > sum(rates[:10]) / 10


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_trial_behind_the_others_is_given_up_but_not_at_once(tmp_path, pruner):
    study = open_study(plan_of(pruner=pruner), storage=None, folder=tmp_path)
    for _ in range(5):
        with study.claim(6) as trial:
            for epoch in range(1, 7):
                trial.report(epoch, 0.1 * epoch)
            trial.finish([repeat(0.6)])
    with study.claim(6) as trial:
        judged = [trial.report(epoch, 0.01) for epoch in range(1, 7)]
        trial.prune([repeat(0.01)], "given up")
    assert True in judged
    if pruner == "median":
        assert judged.index(True) == 2, "a third of six epochs is left in peace"
    record = study.records()[5]
    assert (record.state, record.value, record.cause) == ("pruned", 0.01, "given up")


def test_no_pruner_gives_nothing_up(tmp_path):
    study = open_study(plan_of(), storage=None, folder=tmp_path)
    run_all(study, limit=5)
    with study.claim(6) as trial:
        assert not any(trial.report(epoch, 0.0) for epoch in range(1, 7))


def test_repeats_stops_and_failures_are_noted(tmp_path):
    study = open_study(plan_of(), storage=None, folder=tmp_path)
    with study.claim(6) as trial:
        trial.finish([repeat(0.5), repeat(0.7, label="seed-1")])
    with study.claim(6) as trial:
        trial.finish([repeat(0.9, cause="the loss is not finite")])
    with study.claim(6) as trial:
        trial.fail("no memory")
    first, second, third = study.records()
    assert (first.state, first.value, first.epochs, first.seconds) == ("complete", 0.6, 4, 3.0)
    assert (second.state, second.value) == ("stopped", 0.9)
    assert (third.state, third.value, third.cause) == ("failed", None, "no memory")


def test_the_parameter_that_matters_is_found(tmp_path):
    space = {"loss": ["bce", "dice", "focal", "jaccard"], "augmentation.flip": [0.0, 0.1, 0.2]}
    study = open_study(plan_of(space), storage=None, folder=tmp_path)
    run_all(study, limit=7)
    assert study.importance() == {}
    run_all(study, 12, judge=lambda trial: 0.9 if trial.parameters["loss"] == "dice" else 0.1)
    shares = study.importance()
    assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
    assert shares["loss"] > shares["augmentation.flip"]


def test_a_journal_that_was_cut_off_in_writing_is_mended(tmp_path, caplog):
    study = open_study(plan_of(), storage=None, folder=tmp_path)
    run_all(study, limit=2)
    journal = tmp_path / "journal.log"
    with journal.open("a") as file:
        file.write('{"op_code":4,"wor')
    again = open_study(plan_of(), storage=None, folder=tmp_path)
    assert "cut off" in caplog.text
    assert run_all(again) == [2, 3, 4, 5]
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_a_lock_that_a_killed_process_left_on_the_journal_is_broken(tmp_path, monkeypatch):
    run_all(open_study(plan_of(), storage=None, folder=tmp_path), limit=1)
    (tmp_path / "journal.log.lock").touch()
    monkeypatch.setattr("breastseg.training.search.LOCK_GRACE_S", 3)
    assert run_all(open_study(plan_of(), storage=None, folder=tmp_path), limit=2) == [1]


def test_a_damaged_journal_or_a_wrong_url_is_told(tmp_path):
    (tmp_path / "journal.log").write_text("no journal\n")
    with pytest.raises(SearchFolderError, match=r"journal\.log.*cannot be opened"):
        open_study(plan_of(), storage=None, folder=tmp_path)
    with pytest.raises(SearchFolderError, match="nosuch"):
        open_study(plan_of(), storage="nosuch://place", folder=tmp_path)


def test_a_password_of_a_storage_is_never_told(tmp_path):
    with pytest.raises(SearchFolderError) as told:
        open_study(plan_of(), storage="nosuch://me:secret@place/db", folder=tmp_path)
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_two_folders_share_a_search_by_a_storage(tmp_path, kind):
    """As two machines do that share no search folder."""
    path = tmp_path / "shared"
    storage = str(path) if kind == "journal" else f"sqlite:///{path}.db"
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    studies = [open_study(plan_of(), storage=storage, folder=folder) for folder in folders]
    with studies[0].claim(6) as first, studies[1].claim(6) as second:
        assert {first.number, second.number} == {0, 1}
        first.finish([repeat(0.5)])
        second.finish([repeat(0.5)])
    assert sorted(run_all(studies[0], 4) + run_all(studies[1], 6)) == [2, 3, 4, 5]
    assert len(set(parameters(studies[0]))) == 6


def _run_in_process(folder, numbers):
    numbers.put(run_all(open_study(plan_of(), storage=None, folder=folder)))


def test_processes_that_draw_at_once_share_the_grid(tmp_path):
    context = multiprocessing.get_context("spawn")
    numbers = context.Queue()
    workers = [context.Process(target=_run_in_process, args=(tmp_path, numbers)) for _ in range(2)]
    for worker in workers:
        worker.start()
    drawn = [number for _ in workers for number in numbers.get(timeout=60)]
    for worker in workers:
        worker.join(30)
    assert sorted(drawn) == list(range(6))
    study = open_study(plan_of(), storage=None, folder=tmp_path)
    assert len(set(parameters(study, 6))) == 6


def test_a_locked_trial_folder_is_passed_over(tmp_path):
    """Another process took the number for one that was left before its drawer locked it."""
    study = open_study(plan_of(), storage=None, folder=tmp_path)
    with only_trainer(tmp_path / "trials" / "0000"), study.claim(6) as trial:
        assert trial.number == 1


def test_missing_optuna_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "breastseg.training.sampling")
    with pytest.raises(MissingExtraError, match=r'pip install "breastseg\[search\]"') as missing:
        importlib.import_module("breastseg.training.sampling")
    assert missing.value.exit_code == 2
