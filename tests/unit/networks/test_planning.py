"""The rules of a plan, on fingerprints made for each."""

from dataclasses import replace
from typing import Any

import pytest

from breastseg.core.errors import InputError
from breastseg.core.fingerprint import Fingerprint, PictureFacts, VolumeFacts
from breastseg.networks.memory import training_bytes
from breastseg.networks.planning import Budget, Plan
from breastseg.networks.planning_pictures import plan_pictures
from breastseg.networks.planning_volumes import plan_volumes, target_spacing

SCAN = VolumeFacts(
    spacing_mm=(2.5, 0.8, 0.8),
    size_mm=(300.0, 400.0, 400.0),
    breast_mm=(160.0, 90.0, 150.0),
    lesion_mm=(8.0, 20.0),
    num_in_breasts=2,
    lesion_hu=(-60.0, 120.0),
    region_hu=(-60.0, 70.0),
)
GPU = Budget(memory_gb=24, hardware="gpu")
TWO_CORES = Budget(memory_gb=4)


def volumes(*facts: VolumeFacts, **changes: Any) -> Fingerprint:
    return Fingerprint(volumes=tuple(replace(each, **changes) for each in facts or (SCAN,) * 4))


def reason(plan: Plan, field: str) -> str:
    (found,) = (choice.reason for choice in plan.choices if choice.field == field)
    return found


# --- spacing --------------------------------------------------------------------------------


def test_spacing_is_the_median_but_no_finer_than_small_lesions_need() -> None:
    fine = volumes(lesion_mm=(50.0,))
    assert target_spacing(volumes(lesion_mm=()))[0] == (2.5, 0.8, 0.8)
    # 5 voxels across the 10th percentile of the diameters.
    assert target_spacing(volumes(lesion_mm=(6.0,)))[0] == (2.5, 1.2, 1.2)
    assert target_spacing(fine)[0] == (10.0, 10.0, 10.0)


def test_thick_slices_take_the_tenth_percentile() -> None:
    scans = [replace(SCAN, lesion_mm=(), spacing_mm=(mm, 0.8, 0.8)) for mm in (1, 5, 5, 5, 5)]
    spacing, why = target_spacing(volumes(*scans))
    assert spacing == (2.6, 0.8, 0.8)
    assert "thick axis" in why


# --- region and window ----------------------------------------------------------------------


def test_the_breasts_are_searched_where_they_hold_the_lesions() -> None:
    assert plan_volumes(volumes(), "3", GPU).recipe.volume.region == "breasts"
    elsewhere = plan_volumes(volumes(num_in_breasts=1), "3", GPU)
    assert elsewhere.recipe.volume.region == "scan"
    assert "hold 4 of 8 lesions" in reason(elsewhere, "volume.region")
    none = volumes(SCAN, replace(SCAN, breast_mm=None, lesion_mm=(), num_in_breasts=0))
    assert plan_volumes(none, "3", GPU).recipe.volume.region == "scan"


def test_the_window_is_fixed_unless_lesions_lie_outside() -> None:
    assert plan_volumes(volumes(), "3", GPU).recipe.volume.window_hu == (-200, 300)
    assert plan_volumes(volumes(lesion_hu=None), "3", GPU).recipe.volume.window_hu == (-200, 300)
    bright = plan_volumes(volumes(lesion_hu=(-210.0, 412.0)), "3", GPU)
    assert bright.recipe.volume.window_hu == (-250, 450)


# --- patch, network, batch ------------------------------------------------------------------


def test_a_patch_need_not_be_larger_than_a_breast_with_its_margin() -> None:
    volume = plan_volumes(volumes(lesion_mm=(12.5,)), "3", replace(GPU, memory_gb=80)).recipe.volume
    # 176, 106 and 166 mm at 2.5 mm: 71, 43 and 67 voxels, rounded up to multiples of 16 and 8.
    assert volume.spacing_mm == (2.5, 2.5, 2.5)
    assert volume.patch == (80, 48, 80)


@pytest.mark.parametrize("memory_gb", [1.5, 3, 8, 24])
def test_a_step_stays_within_the_memory(memory_gb: float) -> None:
    budget = Budget(memory_gb=memory_gb, hardware="gpu")
    for dimensions in ("2", "2.5", "3"):
        plan = plan_volumes(volumes(), dimensions, budget)
        patch = plan.recipe.volume.patch
        sides = patch if dimensions == "3" else patch[1:]
        taken = training_bytes(plan.recipe.network, sides, plan.recipe.optimisation.batch_size)
        assert taken <= budget.training_bytes
        assert plan.memory_bytes <= memory_gb * 1e9


def test_more_memory_gives_no_smaller_patch() -> None:
    sizes = []
    for memory_gb in (1.5, 3, 8, 24):
        first, second, third = plan_volumes(
            volumes(), "3", Budget(memory_gb=memory_gb, hardware="gpu")
        ).recipe.volume.patch
        sizes.append(first * second * third)
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_two_cores_get_a_patch_that_they_can_work_through() -> None:
    plan = plan_volumes(volumes(), "3", TWO_CORES)
    first, second, third = plan.recipe.volume.patch
    assert first * second * third <= 70_000
    assert "two cores" in reason(plan, "volume.patch")
    assert plan.recipe.optimisation.batch_size == 4
    kernels = plan.recipe.network.kernels
    assert kernels[:3] == ((1, 3, 3), (1, 3, 3), (3, 3, 3))
    assert "within slices" in reason(plan, "network")


def test_thick_slices_are_halved_later() -> None:
    thick = volumes(spacing_mm=(5.0, 0.8, 0.8), lesion_mm=(3.0,))
    network = plan_volumes(thick, "3", GPU).recipe.network
    assert network.strides[0] == (1, 2, 2)
    assert network.kernels[0] == (1, 3, 3)


@pytest.mark.parametrize(
    ("dimensions", "thickness", "channels"), [("2", 1.0, 1), ("2.5", 1.0, 5), ("2.5", 5.0, 3)]
)
def test_slices_see_their_neighbours_as_channels(
    dimensions: Any, thickness: float, channels: int
) -> None:
    facts = volumes(spacing_mm=(thickness, 0.8, 0.8), lesion_mm=(4.0,))
    recipe = plan_volumes(facts, dimensions, TWO_CORES).recipe
    assert recipe.volume.patch[0] == 1
    assert (recipe.network.dimensions, recipe.network.input_channels) == (2, channels)


def test_too_little_memory_is_said() -> None:
    with pytest.raises(InputError, match="the programs alone take"):
        plan_volumes(volumes(), "3", Budget(memory_gb=0.5))
    with pytest.raises(InputError, match="not even a small patch fits"):
        plan_volumes(volumes(), "3", Budget(memory_gb=0.65, hardware="gpu"))


# --- pictures -------------------------------------------------------------------------------


def pictures(longer: int, *diameters: float) -> Fingerprint:
    return Fingerprint(
        pictures=(PictureFacts(size=(longer // 2, longer), lesion_px=diameters),) * 9
    )


@pytest.mark.parametrize(
    ("longer", "diameter", "size"),
    [(500, 50.0, 128), (500, 25.0, 256), (500, 5.0, 256), (100, 2.0, 128), (500, 250.0, 64)],
)
def test_small_lesions_decide_the_size_of_pictures(longer: int, diameter: float, size: int) -> None:
    recipe = plan_pictures(pictures(longer, diameter), TWO_CORES).recipe
    assert recipe.preprocessing.size == size
    assert recipe.volume is None


def test_pictures_without_a_lesion_have_a_plan_too() -> None:
    plan = plan_pictures(pictures(500), TWO_CORES)
    assert plan.recipe.preprocessing.size == 128
    assert "no lesion" in reason(plan, "preprocessing.size")


def test_little_memory_takes_smaller_batches_and_then_smaller_pictures() -> None:
    fine = pictures(2000, 20.0)
    ample, scarce = (Budget(memory_gb=gb, hardware="gpu") for gb in (24, 1.0))
    assert plan_pictures(fine, ample).recipe.preprocessing.size == 512
    recipe = plan_pictures(fine, scarce).recipe
    assert (
        recipe.optimisation.batch_size < plan_pictures(fine, ample).recipe.optimisation.batch_size
    )
    assert (
        training_bytes(
            recipe.network, (recipe.preprocessing.size,) * 2, recipe.optimisation.batch_size
        )
        <= scarce.training_bytes
    )
    with pytest.raises(InputError, match="no network fits"):
        plan_pictures(fine, Budget(memory_gb=0.62, hardware="gpu"))
