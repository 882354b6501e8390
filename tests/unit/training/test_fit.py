import contextlib
import json
import math
import os
from dataclasses import asdict

import numpy as np
import pytest
from scipy.special import expit

from breastseg.backends.weights import read_weights
from breastseg.core.errors import HealthError, OutputError, WeightsError
from breastseg.core.network_recipe import UNLABELLED
from breastseg.core.recipe import Schedule
from breastseg.networks.output import NetworkOutput
from breastseg.pipeline.image_set import ImageSet, PreparedCase
from breastseg.training.checkpoint import open_run
from breastseg.training.fit import fit, validate

STEPS_PER_EPOCH = 2
NUM_EPOCHS = 3


class Witness:
    """A listener that notes what it is told."""

    def __init__(self):
        self.steps, self.epochs = [], []

    def step_done(self, *, epoch, step, num_steps, loss):
        self.steps.append((epoch, step, num_steps, loss))

    def epoch_done(self, record, *, is_best):
        self.epochs.append((record, is_best))


class KilledError(BaseException):
    """The process ends here: nothing may catch it."""


@pytest.fixture
def train(training, validation):
    """Return a function that trains a backend into a run folder."""

    def fit_it(backend, run, listener=None, **options):
        return fit(backend, training, validation, run, listener or Witness(), **options)

    return fit_it


def without_seconds(state):
    return [{**asdict(record), "seconds": 0} for record in state.history]


def everything(run):
    """Every array that the run folder holds: best weights, last weights and moments."""
    return {
        f"{path.relative_to(run.path)}:{name}": array
        for path in sorted(run.path.glob("**/*.safetensors"))
        for name, array in read_weights(path).items()
    }


def assert_same_bits(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.fixture
def uninterrupted(fake_backend, new_run, train):
    """Return a run that nothing disturbed, and its state."""
    run = new_run("uninterrupted")
    return run, train(fake_backend(), run)


# --- a training that goes well ----------------------------------------------------------------


def test_it_learns_and_tells_each_step_and_epoch(fake_backend, new_run, train):
    backend, witness = fake_backend(), Witness()
    state = train(backend, new_run(), witness)
    assert (state.epoch, state.step) == (NUM_EPOCHS, NUM_EPOCHS * STEPS_PER_EPOCH)
    assert backend.steps == [1, 2, 3, 4, 5, 6]
    assert [told[:3] for told in witness.steps] == [
        (epoch, step, 2) for epoch in (1, 2, 3) for step in (1, 2)
    ]
    assert [record for record, _ in witness.epochs] == list(state.history)
    assert state.history[-1].loss < state.history[0].loss
    assert state.history[-1].validation_dice > 0.6


def test_the_loss_of_an_epoch_is_the_mean_of_its_steps(fake_backend, new_run, train):
    witness = Witness()
    state = train(fake_backend(), new_run(), witness)
    for record in state.history:
        losses = [loss for epoch, _, _, loss in witness.steps if epoch == record.epoch]
        assert record.loss == pytest.approx(np.mean(losses))


def test_an_onlooker_is_shown_the_logits_that_were_validated(
    fake_backend, new_run, recipe, training, validation
):
    """With averaged weights, these are not the logits of the weights that are trained."""
    optimisation = recipe.optimisation.model_copy(update={"ema_decay": 0.9})
    run = new_run(recipe=recipe.model_copy(update={"optimisation": optimisation}))
    shown = []

    def look(epoch, first, logits):
        shown.append((epoch, first, logits))

    state = fit(fake_backend(), training, validation, run, Witness(), look)
    assert [told[:2] for told in shown] == [(e, first) for e in (1, 2, 3) for first in (0, 4)]
    for record in state.history:
        logits = np.concatenate([array for epoch, _, array in shown if epoch == record.epoch])
        assert logits.shape == (len(validation), 1, 16, 16)
        assert (logits.min(), logits.max()) == (record.lowest_logit, record.highest_logit)


def test_each_epoch_shuffles_and_augments_anew(fake_backend, new_run, train):
    backend = fake_backend()
    train(backend, new_run())
    first_of_epochs = [batch.images for batch in backend.batches[::STEPS_PER_EPOCH]]
    assert len({images.tobytes() for images in first_of_epochs}) == NUM_EPOCHS


def test_the_same_recipe_gives_the_same_bits(fake_backend, new_run, train, uninterrupted):
    run = new_run("again")
    state = train(fake_backend(), run)
    assert without_seconds(state) == without_seconds(uninterrupted[1])
    assert_same_bits(everything(run), everything(uninterrupted[0]))


def test_worker_processes_change_nothing(fake_backend, new_run, train, uninterrupted):
    run = new_run("processes")
    state = train(fake_backend(), run, workers=2)
    assert without_seconds(state) == without_seconds(uninterrupted[1])
    assert_same_bits(everything(run), everything(uninterrupted[0]))


def test_a_range_test_in_the_middle_of_an_epoch_takes_its_own_batches(fake_backend, new_run, train):
    """The batches that the workers made for the epoch are not mistaken for its own."""

    def diverge_once(backend, step):
        return math.nan if len(backend.steps) == STEPS_PER_EPOCH + 1 else None

    told = []
    for workers in (0, 1):
        backend = fake_backend(on_step=diverge_once)
        with pytest.raises(HealthError) as stopped:
            train(backend, new_run(f"with-{workers}"), workers=workers)
        told.append((str(stopped.value), [batch.images.tobytes() for batch in backend.batches]))
    assert told[0] == told[1]
    assert len(told[0][1]) > 20


def test_only_the_boundary_loss_gets_a_distance_map(fake_backend, new_run, train, recipe):
    for loss, there in (("bce", False), ("dice:1,boundary:0.01", True)):
        backend = fake_backend()
        train(backend, new_run(loss, recipe.with_settings([f"loss={loss}"])))
        assert {batch.distance is not None for batch in backend.batches} == {there}


def test_the_weights_of_the_best_epoch_are_kept_not_those_of_the_last(fake_backend, new_run, train):
    def blind_in_the_last_epoch(backend, step):
        if step > 2 * STEPS_PER_EPOCH:
            backend.set_bias(-50)

    run, witness = new_run(), Witness()
    state = train(fake_backend(on_step=blind_in_the_last_epoch), run, witness)
    assert state.best_epoch == 2
    assert state.history[2].validation_dice == 0
    assert [is_best for _, is_best in witness.epochs] == [True, True, False]
    assert run.weights()["head.bias"] > -5
    assert read_weights(run.path / "last" / "weights.safetensors")["head.bias"] < -40


def test_of_equal_epochs_the_first_is_the_best(fake_backend, new_run, train):
    run = new_run()
    state = train(fake_backend(on_step=lambda backend, step: backend.set_bias(-50)), run)
    assert [record.validation_dice for record in state.history] == [0, 0, 0]
    assert state.best_epoch == 1
    first = read_weights(run.weights_path)["head.weight"]
    last = read_weights(run.path / "last" / "weights.safetensors")["head.weight"]
    assert not np.array_equal(first, last)


def test_the_schedule_hears_the_validation_dice(fake_backend, new_run, train, recipe):
    schedule = Schedule(name="plateau", patience=1, factor=0.5)
    optimisation = recipe.optimisation.model_copy(update={"schedule": schedule})
    run = new_run(recipe=recipe.model_copy(update={"optimisation": optimisation}))
    state = train(fake_backend(on_step=lambda backend, step: backend.set_bias(-50)), run)
    assert [record.learning_rate for record in state.history] == pytest.approx([0.3, 0.3, 0.15])


def test_metrics_are_one_line_of_json_per_epoch(uninterrupted):
    run, state = uninterrupted
    lines = (run.path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [asdict(record) for record in state.history]


def test_a_finished_run_is_left_as_it_is(fake_backend, train, uninterrupted):
    run, state = uninterrupted
    before = everything(run)
    backend = fake_backend()
    assert train(backend, open_run(run.path)) == state
    assert backend.steps == []
    assert_same_bits(everything(run), before)


# --- early stopping and averaged weights -------------------------------------------------------


def with_options(recipe, **options):
    """The recipe with other fields of its optimisation."""
    optimisation = recipe.optimisation.model_copy(update=options)
    return recipe.model_copy(update={"optimisation": optimisation})


def test_it_stops_early_and_a_resumed_run_knows(fake_backend, new_run, train, recipe, caplog):
    def blind_from_the_second_epoch(backend, step):
        if step > STEPS_PER_EPOCH:
            backend.set_bias(-50)

    caplog.set_level("INFO")
    impatient = with_options(recipe, epochs=9, early_stopping=2)
    run = new_run(recipe=impatient.model_copy(update={"health": "warn"}))
    state = train(fake_backend(on_step=blind_from_the_second_epoch), run)
    assert state.epoch == 3
    assert "stopped early: no higher validation Dice since epoch 1" in caplog.text
    backend = fake_backend()
    assert train(backend, open_run(run.path)).epoch == 3
    assert backend.steps == []


def averaging(recipe):
    return with_options(recipe, ema_decay=0.9, epochs=NUM_EPOCHS)


class Recorder:
    """A backend that notes its weights behind each step."""

    def __init__(self, backend):
        self._backend, self.seen = backend, []

    def __getattr__(self, name):
        return getattr(self._backend, name)

    def train_step(self, batch, **given):
        loss = self._backend.train_step(batch, **given)
        self.seen.append(self._backend.weights())
        return loss


def test_the_average_is_validated_and_saved_as_the_best(fake_backend, new_run, train, recipe):
    run, backend = new_run(recipe=averaging(recipe)), Recorder(fake_backend())
    average = backend.weights()["head.weight"].astype(float)
    by_epoch = []
    state = train(backend, run)
    for step, weights in enumerate(backend.seen, start=1):
        kept = min(0.9, (1 + step) / (10 + step))
        average = kept * average + (1 - kept) * weights["head.weight"]
        by_epoch += [average] if step % STEPS_PER_EPOCH == 0 else []
    best = by_epoch[state.best_epoch - 1]
    np.testing.assert_allclose(run.weights()["head.weight"], best, rtol=1e-5)
    last = read_weights(run.path / "last" / "weights.safetensors")
    np.testing.assert_array_equal(last["head.weight"], backend.seen[-1]["head.weight"])
    kept = read_weights(run.path / "last" / "average.safetensors")
    np.testing.assert_allclose(kept["head.weight"], by_epoch[-1], rtol=1e-5)


@pytest.mark.parametrize("step", [2, 3, 5])
def test_an_averaged_run_resumes_to_the_same_bits(step, fake_backend, new_run, train, recipe):
    def ctrl_c(backend, at):
        if at == step:
            raise KeyboardInterrupt

    whole, run = (new_run(name, recipe=averaging(recipe)) for name in ("whole", "halved"))
    expected = train(fake_backend(), whole)
    with pytest.raises(KeyboardInterrupt):
        train(fake_backend(on_step=ctrl_c), run)
    state = train(fake_backend(), open_run(run.path))
    assert without_seconds(state) == without_seconds(expected)
    assert_same_bits(everything(run), everything(whole))
    assert any("average" in name for name in everything(run))


def test_a_damaged_average_is_refused(fake_backend, new_run, train, recipe):
    def ctrl_c(backend, step):
        if step > STEPS_PER_EPOCH:
            raise KeyboardInterrupt

    run = new_run(recipe=averaging(recipe))
    with pytest.raises(KeyboardInterrupt):
        train(fake_backend(on_step=ctrl_c), run)
    path = run.path / "last" / "average.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    with pytest.raises(WeightsError, match=r"average\.safetensors: the checksum"):
        train(fake_backend(), open_run(run.path))


# --- interruptions ----------------------------------------------------------------------------


@pytest.mark.parametrize("step", range(1, NUM_EPOCHS * STEPS_PER_EPOCH + 1))
def test_a_run_resumed_after_ctrl_c_has_the_bits_of_an_uninterrupted_one(
    step, fake_backend, new_run, train, uninterrupted
):
    def ctrl_c(backend, at):
        if at == step:
            raise KeyboardInterrupt

    run = new_run()
    with pytest.raises(KeyboardInterrupt):
        train(fake_backend(on_step=ctrl_c), run)
    finished = (step - 1) // STEPS_PER_EPOCH
    assert open_run(run.path).state().epoch == finished
    resumed = fake_backend()
    state = train(resumed, open_run(run.path))
    assert resumed.steps[0] == finished * STEPS_PER_EPOCH + 1
    assert without_seconds(state) == without_seconds(uninterrupted[1])
    assert_same_bits(everything(run), everything(uninterrupted[0]))


def test_a_resumed_run_does_not_take_a_worse_epoch_for_the_best(fake_backend, new_run, train):
    def blind_from_the_second_epoch(backend, step):
        if step > STEPS_PER_EPOCH:
            backend.set_bias(-50)

    def blind_then_ctrl_c(backend, step):
        blind_from_the_second_epoch(backend, step)
        if step > 2 * STEPS_PER_EPOCH:
            raise KeyboardInterrupt

    run = new_run()
    with pytest.raises(KeyboardInterrupt):
        train(fake_backend(on_step=blind_then_ctrl_c), run)
    train(fake_backend(on_step=blind_from_the_second_epoch), open_run(run.path))
    assert run.state().best_epoch == 1
    assert run.weights()["head.bias"] > -5


def test_ctrl_c_after_an_epoch_leaves_weights_that_can_be_used(fake_backend, new_run, train):
    def ctrl_c(backend, step):
        if step == STEPS_PER_EPOCH + 1:
            raise KeyboardInterrupt

    run = new_run()
    with pytest.raises(KeyboardInterrupt):
        train(fake_backend(on_step=ctrl_c), run)
    assert open_run(run.path).weights().keys() == fake_backend().weights().keys()


class Killer:
    """Kills before the n-th rename: each is a moment at which the folder changes."""

    def __init__(self, monkeypatch, at):
        self._replace, self._at, self.renames = os.replace, at, 0
        monkeypatch.setattr(os, "replace", self)

    def __call__(self, source, target):
        self.renames += 1
        if self.renames == self._at:
            raise KilledError
        self._replace(source, target)


def test_killed_at_any_rename_the_run_goes_on_to_the_same_bits(
    fake_backend, new_run, train, uninterrupted, monkeypatch
):
    expected, at, was_killed = everything(uninterrupted[0]), 0, True
    while was_killed:
        at += 1
        run = new_run(f"killed-at-{at}")
        witness = Witness()
        with monkeypatch.context() as patch:
            killer = Killer(patch, at)
            with contextlib.suppress(KilledError):
                train(fake_backend(), run, witness)
            was_killed = killer.renames == at
        assert open_run(run.path).state().epoch >= len(witness.epochs), "a saved epoch was lost"
        state = train(fake_backend(), open_run(run.path))
        assert without_seconds(state) == without_seconds(uninterrupted[1]), at
        assert_same_bits(everything(run), expected)
    assert at > 5 * NUM_EPOCHS


# --- trainings that go wrong ------------------------------------------------------------------


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(
    loss, fake_backend, new_run, train
):
    whole = new_run("whole")
    kept = {}

    def diverge(backend, step):
        if step == STEPS_PER_EPOCH + 1:
            kept.update(everything(whole))
        return loss if step == STEPS_PER_EPOCH + 2 else None

    with pytest.raises(HealthError, match=rf"epoch 2, step 2: .* got {loss}.*=0\.03\)") as stopped:
        train(fake_backend(on_step=diverge), whole)
    assert stopped.value.exit_code == 3
    assert open_run(whole.path).state().epoch == 1
    assert kept
    assert_same_bits(everything(whole), kept)


def test_a_range_test_begins_with_the_heads_of_deep_supervision_too(
    fake_backend, new_run, train, recipe
):
    network = recipe.network.model_copy(update={"channels": (1, 1, 1)})
    deep = recipe.model_copy(update={"network": network})
    deep = deep.with_settings(["optimisation.deep_supervision=1"])
    backend = fake_backend(deep, on_step=lambda backend, step: math.nan)
    with pytest.raises(HealthError, match="epoch 1, step 1: the loss"):
        train(backend, new_run(recipe=deep))
    assert len(backend.steps) > 1
    assert backend.weights()["decoder.1.head.weight"].any()


def test_weights_that_burst_in_the_last_step_of_an_epoch_are_not_saved(
    fake_backend, new_run, train
):
    """The loss is taken before the step, so that it is still finite."""

    def burst(backend, step):
        if step == 2 * STEPS_PER_EPOCH:
            backend.set_bias(math.nan)
            return 0.5
        return None

    run = new_run()
    with pytest.raises(HealthError, match="epoch 2: the network's logits must be finite"):
        train(fake_backend(on_step=burst), run)
    assert open_run(run.path).state().epoch == 1
    assert all(np.isfinite(array).all() for array in everything(run).values())


def test_a_checkpoint_that_does_not_fit_the_recipe_is_refused(
    fake_backend, new_run, train, uninterrupted, recipe
):
    run, _ = uninterrupted
    network = recipe.network.model_copy(update={"channels": (2, 2)})
    other = recipe.model_copy(update={"network": network})
    (run.path / "recipe.json").write_text(other.to_json())
    with pytest.raises(WeightsError, match=r"last.weights\.safetensors.*shape"):
        train(fake_backend(other), open_run(run.path))


def test_a_full_disk_keeps_the_checkpoint_before(fake_backend, new_run, train, file_size_limit):
    run = new_run()
    kept = {}

    def fill_the_disk(backend, step):
        if step == STEPS_PER_EPOCH + 1:
            kept.update(everything(run))
            file_size_limit(256)

    with pytest.raises(OutputError, match="what was there before is untouched"):
        train(fake_backend(on_step=fill_the_disk), run)
    file_size_limit(None)
    assert_same_bits(
        {name: array for name, array in everything(run).items() if "last.new" not in name}, kept
    )
    assert train(fake_backend(), open_run(run.path)).epoch == NUM_EPOCHS


@pytest.fixture
def file_size_limit():
    """Return a function that limits how large a file may become, as a full disk does."""
    resource = pytest.importorskip("resource", reason="only Unix limits the size of files")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(num_bytes):
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft if num_bytes is None else num_bytes, hard))

    yield limit
    limit(None)


# --- validation -------------------------------------------------------------------------------


class Finder:
    """Finds what is above 0 in the image itself."""

    def predict_logits(self, images):
        return images


def case(found, target):
    image = np.where(np.array(found, bool), 1, -1).astype(np.float32)
    return PreparedCase(image[None], np.array(target, bool)[None])


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_validation_scores_lesion_images_by_dice_and_others_by_silence(batch_size):
    cases = [
        case([1, 1, 0, 0], [1, 1, 0, 0]),  # 2 * 2 / (2 + 2) = 1
        case([1, 1, 1, 0], [0, 0, 1, 0]),  # 2 * 1 / (3 + 1) = 0.5
        case([0, 0, 0, 0], [1, 0, 0, 0]),  # 0
        case([0, 0, 0, 0], [0, 0, 0, 0]),  # silent
        case([0, 1, 0, 0], [0, 0, 0, 0]),  # a false alarm
    ]
    found = validate(Finder(), ImageSet(cases), batch_size)
    assert found.dice == pytest.approx(0.5)
    assert found.specificity == 0.5
    assert (found.lowest_logit, found.highest_logit) == (-1, 1)


def test_validation_without_lesions_or_without_normals_says_so():
    lesion, normal = (validate(Finder(), ImageSet([case([0, x], [0, x])]), 4) for x in (1, 0))
    assert (lesion.dice, lesion.specificity) == (1.0, None)
    assert (normal.dice, normal.specificity) == (0.0, 1.0)


class Teller(Finder):
    """Finds as Finder does, and takes the brightness of an image for its malignancy."""

    def predict(self, images):
        bright = images.mean(axis=(1, 2, 3))
        return NetworkOutput(images, np.stack([-bright, bright], axis=1).astype(np.float32))


def labelled(found, label):
    plain = case(found, [1, 0, 0, 0])
    return PreparedCase(plain.image, plain.target, label)


@pytest.mark.parametrize("batch_size", [1, 16])
def test_validation_tells_how_well_classes_are_told(batch_size):
    """Brightness -0.5, 0, 1 and 0.5: of two malignant and one benign, one pair is wrong."""
    cases = [
        labelled([1, 0, 0, 0], 1),
        labelled([1, 1, 0, 0], 0),
        labelled([1, 1, 1, 1], 1),
        labelled([1, 1, 1, 0], UNLABELLED),
    ]
    names = ("benign", "malignant")
    found = validate(Teller(), ImageSet(cases), batch_size, classes=names)
    assert found.malignant_auc == 0.5
    right = [expit(-1.0), 0.5, expit(2.0)]
    assert found.class_loss == pytest.approx(-np.log(right).mean())
    silent = validate(Teller(), ImageSet(cases), batch_size)
    assert silent.class_loss is silent.malignant_auc is None
    assert silent.dice == found.dice
    unknown = validate(Teller(), ImageSet(cases[3:]), batch_size, classes=names)
    assert unknown.class_loss is unknown.malignant_auc is None


def test_class_logits_that_burst_are_noticed():
    class Burst(Teller):
        def predict(self, images):
            return NetworkOutput(images, np.full((len(images), 2), np.nan, np.float32))

    with pytest.raises(FloatingPointError, match="class logits"):
        validate(Burst(), ImageSet([labelled([1, 0, 0, 0], 1)]), 1, classes=("a", "b"))
