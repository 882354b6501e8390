import pytest

from breastseg.core.recipe import Optimisation, Schedule
from breastseg.networks.schedules import is_over, learning_rate, num_reductions


def rates(schedule, history, *, epochs=10, start=1.0):
    optimisation = Optimisation(learning_rate=start, epochs=epochs, schedule=schedule)
    return [learning_rate(optimisation, history[:epoch]) for epoch in range(len(history) + 1)]


def test_a_constant_rate_is_constant():
    assert rates(Schedule(name="constant"), [0.1, 0.0, 0.5]) == [1.0] * 4


def test_plateaus_by_hand():
    schedule = Schedule(name="plateau", factor=0.5, patience=2)
    # best 0.3 at epoch 2; two epochs without a rise end at epoch 4 and again at epoch 6
    history = [0.2, 0.3, 0.3, 0.1, 0.2, 0.25, 0.9]
    assert rates(schedule, history) == [1, 1, 1, 1, 0.5, 0.5, 0.25, 0.25]


def test_a_rise_must_exceed_the_threshold():
    slow = [0.500, 0.505, 0.510, 0.515]
    assert num_reductions(Schedule(patience=2, threshold=0.004), slow) == 0
    # 0.51 is not above 0.50 by more than 0.01; 0.515 is
    assert num_reductions(Schedule(patience=2, threshold=0.01), slow) == 1
    assert num_reductions(Schedule(patience=1, threshold=0.0), [0.5, 0.5]) == 1


def test_a_collapsed_network_is_a_plateau():
    assert num_reductions(Schedule(patience=5), [0.0] * 11) == 2


def test_a_plateau_never_goes_below_the_minimum():
    schedule = Schedule(name="plateau", factor=0.1, patience=1, minimum=0.05)
    assert rates(schedule, [0.5, 0.5, 0.5])[-1] == 0.05


def test_half_a_cosine_by_hand():
    schedule = Schedule(name="cosine", minimum=0.0)
    found = rates(schedule, [0.5] * 4, epochs=4)
    assert found == pytest.approx([1, 0.5 + 2**0.5 / 4, 0.5, 0.5 - 2**0.5 / 4, 0], abs=1e-12)


def test_warm_up_climbs_in_equal_steps_to_the_start_of_the_cosine():
    schedule = Schedule(name="cosine", warmup_epochs=3, minimum=0.1)
    found = rates(schedule, [0.5] * 7, epochs=7)
    assert found[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert found[5] == pytest.approx(0.55)
    assert found[7] == pytest.approx(0.1)


def test_the_cosine_does_not_rise_again_behind_its_end():
    schedule = Schedule(name="cosine", minimum=0.01)
    assert rates(schedule, [0.5] * 20, epochs=10)[10:] == pytest.approx([0.01] * 11)


def test_a_polynomial_by_hand():
    schedule = Schedule(name="polynomial", power=2, minimum=0.0)
    found = rates(schedule, [0.5] * 4, epochs=4)
    assert found == pytest.approx([1, 9 / 16, 1 / 4, 1 / 16, 0])
    above = Schedule(name="polynomial", power=1, minimum=0.5, warmup_epochs=1)
    assert rates(above, [0.5] * 3, epochs=3) == pytest.approx([0.5, 1, 0.75, 0.5])


def test_one_cycle_by_hand():
    schedule = Schedule(name="one-cycle", rise=0.6, divisor=10, minimum=0.1)
    # the peak is at epoch 0.6 * 5 - 1 = 2; half way up (0.1 + 1) / 2, half way down as well
    found = rates(schedule, [0.5] * 6, epochs=5)
    assert found == pytest.approx([0.1, 0.55, 1, 0.55, 0.1, 0.1, 0.1])


def test_one_cycle_of_few_epochs_begins_at_its_peak():
    schedule = Schedule(name="one-cycle", minimum=0.1)
    assert rates(schedule, [0.5], epochs=1) == [1, 1]
    assert rates(schedule, [0.5] * 2, epochs=3) == pytest.approx([1, 0.55, 0.1])


def test_early_stopping_counts_from_the_first_epoch_that_found_anything():
    patient = Optimisation(early_stopping=3, epochs=40)
    assert not is_over(patient, [0.0] * 12)
    assert not is_over(patient, [0.0] * 12 + [0.2, 0.1, 0.2])
    assert is_over(patient, [0.0] * 12 + [0.2, 0.1, 0.2, 0.2])
    assert not is_over(patient, [0.2, 0.1, 0.1, 0.3, 0.1, 0.1])


def test_without_early_stopping_the_epochs_are_done():
    assert not is_over(Optimisation(epochs=40), [0.5] + [0.1] * 38)
    assert is_over(Optimisation(epochs=40), [0.5] + [0.1] * 39)
    assert is_over(Optimisation(epochs=4, early_stopping=10), [0.0] * 4)


@pytest.mark.parametrize("name", ["constant", "plateau", "cosine", "polynomial"])
@pytest.mark.parametrize("warmup", [0, 2, 5])
def test_every_rate_is_above_0(name, warmup):
    schedule = Schedule(name=name, warmup_epochs=warmup, patience=1)
    assert all(rate > 0 for rate in rates(schedule, [0.0] * 5, epochs=5))


def test_the_rate_depends_on_the_history_alone():
    """A resumed run, which has nothing but its history, goes on with the same rate."""
    schedule = Schedule(name="plateau", patience=2, factor=0.5)
    history = [0.1, 0.1, 0.1, 0.4, 0.4, 0.4]
    assert rates(schedule, history)[4:] == [
        learning_rate(Optimisation(learning_rate=1.0, schedule=schedule), history[:epoch])
        for epoch in (4, 5, 6)
    ]
