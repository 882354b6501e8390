"""Each check by hand: what it must see, and the nearest healthy training, which it must not."""

import math

import numpy as np
import pytest

from breastseg.core.recipe import Optimisation, Recipe, Schedule
from breastseg.pipeline.image_set import PreparedCase
from breastseg.training import health
from breastseg.training.health import Course, LossWatch
from breastseg.training.state import EpochRecord


def record(epoch, **changes):
    given = {
        "epoch": epoch,
        "loss": 1.0 / epoch,
        "validation_dice": 0.5,
        "validation_specificity": None,
        "learning_rate": 0.1,
        "seconds": 1.0,
        "lowest_logit": -4.0,
        "highest_logit": 3.0,
        "weight_change": 0.01,
    }
    return EpochRecord(**given | changes)


def course(count, *, epochs=40, lesions=True, **changes):
    """A course whose fields are the same in all epochs, or follow from the epoch's number."""
    history = [
        record(epoch, **{k: v(epoch) if callable(v) else v for k, v in changes.items()})
        for epoch in range(1, count + 1)
    ]
    recipe = Recipe(optimisation=Optimisation(epochs=epochs))
    return Course(recipe=recipe, history=history, lesions_in_validation=lesions)


def told(losses, start=None):
    watch = LossWatch(start)
    return [finding for loss in losses if (finding := watch(loss)) is not None]


# --- the loss of each step --------------------------------------------------------------------


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_stops_always(loss):
    (finding,) = told([1.0, loss])
    assert finding.stops
    assert finding.always
    assert finding.suspect_rate


def test_a_loss_that_rises_to_more_than_three_times_its_start_is_told_once():
    (finding,) = told([1.0, 9.0, 9.0, 9.0, 9.0, 9.0])
    assert finding.cause == "the loss began at 1 and has risen to 9"
    assert finding.suspect_rate
    assert not finding.always


@pytest.mark.parametrize(
    "losses",
    [
        [1.0, 50.0, 1.0, 0.9, 60.0, 0.8, 0.9],  # hard batches
        [1.0, 2.9, 2.9, 2.9, 2.9, 2.9],
        [0.1, 9.0, 9.0],  # too early to say
    ],
)
def test_single_hard_batches_and_moderate_rises_are_no_burst(losses):
    assert told(losses) == []


@pytest.mark.parametrize(
    "losses",
    [
        [-0.5, -0.9, -1.5, -2.0, -2.5, -3.0, -3.2],  # learning
        [0.4, 0.1, -0.01, 0.02, -0.2, 0.1, -0.3],  # through 0, where a ratio would mean nothing
        [-3.0, -2.0, -1.0, 0.0, 1.0, 1.0, 1.0],  # rises by less than twice its start
    ],
)
def test_the_boundary_loss_may_be_negative_and_is_no_burst(losses):
    assert told(losses) == []


def test_a_negative_loss_bursts_as_far_above_its_start_as_a_positive_one():
    (finding,) = told([-2.0, 2.5, 2.5, 2.5, 2.5, 2.5])
    assert finding.cause == "the loss began at -2 and has risen to 2.5"
    assert told([-2.0, 1.9, 1.9, 1.9, 1.9, 1.9]) == []


def test_a_resumed_run_is_measured_by_where_it_began():
    late = [0.05, 3.0, 3.0, 3.0, 3.0, 3.0]
    assert told(late)
    assert told(late, start=1.2) == []


def test_one_step_of_a_hundred_times_the_start_is_enough():
    """A rate of 0.3 did this in the second step and came back below the first loss."""
    (finding,) = told([1.5, 2e6, 300.0, 1.8, 1.4])
    assert finding.cause == "the loss began at 1.5 and has risen to 2e+06"


def test_a_loss_that_begins_below_or_near_0_is_measured_as_from_1():
    assert told([0.01] + [1.9] * 9) == []
    assert told([-2.0] + [1.0] * 9) == []
    assert told([-2.0] + [2.5] * 9)


# --- the course of the epochs -----------------------------------------------------------------


def test_weights_that_never_moved_are_seen_after_the_first_epoch():
    assert health.weights_do_not_move(course(1, weight_change=0.0)).stops


def test_weights_that_rest_at_the_end_of_a_schedule_are_healthy():
    resting = course(9, weight_change=lambda epoch: 0.0 if epoch > 5 else 0.1)
    assert health.weights_do_not_move(resting) is None
    assert health.weights_do_not_move(course(3, weight_change=None)) is None


def test_a_loss_that_never_left_its_first_value_is_seen():
    stuck = course(5, loss=lambda epoch: 0.7 + 1e-5 * epoch)
    assert "stayed at 0.7 for 5 epochs" in health.loss_does_not_move(stuck).cause
    assert health.loss_does_not_move(stuck).suspect_rate
    assert health.loss_does_not_move(stuck.before) is None


def test_a_network_that_has_learnt_and_rests_is_healthy():
    assert health.loss_does_not_move(course(30, loss=lambda e: max(0.2, 1 - 0.3 * e))) is None


def test_a_constant_prediction_is_a_collapse_after_five_epochs():
    collapsed = course(5, lowest_logit=-2.2, highest_logit=-2.2)
    finding = health.constant_prediction(collapsed)
    assert finding.stops
    assert "probability (0.0998)" in finding.cause
    assert health.constant_prediction(collapsed.before) is None


@pytest.mark.parametrize(
    "healthy",
    [
        course(9, lowest_logit=-2.3, highest_logit=-1.3, validation_dice=0.0),
        course(9, lowest_logit=lambda e: -9.0 if e == 7 else -2.2, highest_logit=-2.2),
        course(9, lowest_logit=None, highest_logit=None),
        course(9, lowest_logit=-20.0, highest_logit=-15.0, lesions=False),
    ],
    ids=["finds nothing yet", "moved meanwhile", "older run", "no lesion to be found"],
)
def test_what_is_no_collapse(healthy):
    assert health.constant_prediction(healthy) is None


def silent(count, **changes):
    """The seed's Keras run: below a half everywhere, right for nine pixels of ten."""
    given = {"highest_logit": -0.5, "validation_dice": 0.0, "loss": 0.9}
    return course(count, **given | changes)


def test_background_everywhere_warns_after_half_of_the_run():
    assert health.nothing_found(silent(4, epochs=10)) is None
    finding = health.nothing_found(silent(5, epochs=10))
    assert "background everywhere" in finding.cause
    assert not finding.stops


def test_background_everywhere_stops_after_twenty_epochs():
    assert health.nothing_found(silent(19)) is None
    assert health.nothing_found(silent(20)).stops


def test_a_silent_network_whose_loss_falls_may_yet_learn():
    """The smoke recipe on 14 phantoms found nothing in 25 of its 40 epochs, then nearly all."""
    falling = silent(25, loss=lambda epoch: 1.1 * 0.98**epoch)
    for count in range(1, 26):
        part = Course(recipe=falling.recipe, history=falling.history[:count])
        assert health.nothing_found(part) is None


def test_a_network_that_finds_something_after_ten_epochs_is_healthy():
    """So did the smoke recipe: validation Dice 0 in its first eight to ten of 40 epochs."""
    slow = course(40, highest_logit=lambda epoch: -0.5 if epoch <= 10 else 1.0)
    for count in range(1, 41):
        part = Course(recipe=slow.recipe, history=slow.history[:count])
        assert health.nothing_found(part) is None


def test_a_find_by_chance_in_the_first_epoch_does_not_hide_the_collapse():
    by_chance = silent(21, highest_logit=lambda epoch: 0.5 if epoch == 1 else -0.5)
    assert health.nothing_found(by_chance).stops


def test_logits_within_0_and_1_betray_a_second_sigmoid():
    doubled = course(3, lowest_logit=0.02, highest_logit=0.98)
    assert "sigmoid is probably applied twice" in health.sigmoid_applied_twice(doubled).cause
    assert health.sigmoid_applied_twice(doubled.before) is None
    assert health.sigmoid_applied_twice(course(3, lowest_logit=-0.1, highest_logit=0.9)) is None
    assert health.sigmoid_applied_twice(course(3, lowest_logit=0.1, highest_logit=1.1)) is None
    assert health.sigmoid_applied_twice(course(3, lowest_logit=None, highest_logit=None)) is None


def test_train_and_validation_far_apart_warns_at_the_second_look():
    dice = {5: 0.8, 10: 0.95, 15: 0.96}
    apart = course(10, training_dice=dice.get)
    finding = health.far_from_training(apart)
    assert "Dice 0.95 and 0.50" in finding.cause
    assert not finding.stops
    assert health.far_from_training(apart.before) is None
    near = course(10, training_dice={5: 0.95, 10: 0.75}.get)
    assert health.far_from_training(near) is None


@pytest.mark.parametrize(
    "loss",
    [
        lambda epoch: 0.3 - 0.1 * epoch,  # falls through 0
        lambda epoch: -2 - 0.05 * epoch,
        lambda epoch: 0.0 if epoch == 1 else -0.01 * epoch,
    ],
)
def test_a_loss_that_falls_below_0_has_moved_and_does_not_rest(loss):
    falling = silent(25, loss=loss)
    for count in range(1, 26):
        part = Course(recipe=falling.recipe, history=falling.history[:count])
        assert health.loss_does_not_move(part) is None
        assert health.nothing_found(part) is None


def test_a_negative_loss_that_stays_is_told_as_a_positive_one():
    assert health.loss_does_not_move(course(5, loss=-1.5))
    assert health.nothing_found(silent(20, loss=-1.5)).stops
    assert health.nothing_found(silent(20, loss=0.0)).stops


def test_a_warning_is_told_once_and_a_stop_each_time():
    apart = course(13, training_dice={5: 0.9, 10: 0.9}.get)
    parts = [Course(recipe=apart.recipe, history=apart.history[:n]) for n in range(1, 14)]
    assert [n for n, part in enumerate(parts, start=1) if health.judge(part)] == [10]
    stuck = course(9, weight_change=0.0)
    assert health.judge(stuck)
    assert health.judge(stuck.before)


# --- the images before the first step ---------------------------------------------------------


def case(seed=0, *, lesion=True, value=None):
    image = np.random.default_rng(seed).normal(size=(8, 8)).astype(np.float32)
    if value is not None:
        image[...] = value
    target = np.zeros((8, 8), bool)
    target[2:4, 2:5] = lesion
    return PreparedCase(image, target)


def inspected(training, validation, **optimisation):
    recipe = Recipe(optimisation=Optimisation(**optimisation))
    return health.inspect_cases(recipe, training, validation)


def test_good_images_are_left_alone():
    assert inspected([case(0), case(1), case(2, lesion=False)], [case(3)]) == []


def test_images_without_a_lesion_teach_nothing():
    (finding,) = inspected([case(n, lesion=False) for n in range(3)], [case(3)])
    assert "none of the 3 training images has a lesion" in finding.cause
    assert finding.stops


def test_images_that_are_not_finite_stop_always():
    (finding,) = inspected([case(0), case(1, value=math.nan)], [case(3)])
    assert finding.cause == "1 of the 2 training images hold NaN or infinity"
    assert finding.always


def test_images_without_contrast_warn_and_stop_if_there_are_no_others():
    (some,) = inspected([case(0), case(1, value=0.0)], [case(3)])
    assert "1 of the 2 training images have the same value everywhere" in some.cause
    assert not some.stops
    (every,) = inspected([case(0, value=1.0), case(1, value=0.0)], [case(3)])
    assert every.stops


def test_the_same_image_with_two_masks_is_told():
    (some,) = inspected([case(0), case(0, lesion=False), case(1)], [case(3)])
    assert "1 training images are there more than once" in some.cause
    assert not some.stops
    (batch,) = inspected([case(0), case(0, lesion=False)], [case(3)])
    assert batch.stops
    assert inspected([case(0), case(0)], [case(3)]) == []


def test_a_plateau_schedule_without_its_metric_stops():
    """The seed's PyTorch notebook stepped its plateau scheduler without a metric."""
    normals = [case(3, lesion=False)]
    (finding,) = inspected([case(0)], normals, schedule=Schedule(name="plateau"))
    assert "the best epoch and the plateau schedule need the validation Dice" in finding.cause
    assert finding.stops


def test_without_a_metric_other_schedules_warn_and_early_stopping_stops():
    normals, cosine = [case(3, lesion=False)], Schedule(name="cosine")
    (finding,) = inspected([case(0)], normals, schedule=cosine)
    assert "the best epoch needs the validation Dice" in finding.cause
    assert not finding.stops
    (finding,) = inspected([case(0)], normals, schedule=cosine, early_stopping=3)
    assert finding.stops
