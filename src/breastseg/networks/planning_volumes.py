"""The rules for CT volumes: spacing, window, region, patch, network, batch."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from breastseg.core.errors import InputError
from breastseg.core.fingerprint import Fingerprint, Triple
from breastseg.core.network_recipe import Kernel, UNetSpec
from breastseg.core.recipe import Augmentation, Optimisation, Recipe, Schedule
from breastseg.core.recipes import CT_LOSS
from breastseg.core.volume_recipe import VolumePreprocessing
from breastseg.networks.anisotropy import SMALLEST_SIDE, fitted_to_voxels
from breastseg.networks.memory import training_bytes
from breastseg.networks.planning import (
    PROGRAMS_BYTES,
    Budget,
    Choice,
    Dimensions,
    Hardware,
    Plan,
    axes_in_words,
    batch_that_fits,
    fits,
    middle,
    network_in_words,
    percentile,
    widths,
)

WINDOW_HU = (-200.0, 300.0)
MARGIN_MM = 8.0
_ANISOTROPIC = 3.0
_VOXELS_ACROSS_LESION = 5
_IN_BREASTS = 0.9
_FITTING_PATCHES = 2
_BATCH_3D: dict[Hardware, int] = {"cpu": 4, "gpu": 2}
_BATCH_2D = 16
_EPOCH_PATCHES = {"cpu": 2000, "gpu": 500}
_MOST_PER_VOLUME = 64
_EPOCHS = {"cpu": 20, "gpu": 200}
_WHY_LOSS = "few voxels are lesion, and many patches hold none: Dice is that of the whole batch"
_FLAT_LEVELS = 2
_MOST_DEEP_SUPERVISION = 3
_WHY_DEEP = "the coarse levels learn where a lesion is, long before the finest draws its edge"
_WHY_EPOCHS = "to begin with: more, while the validation Dice still rises"
_THIN_SLICE_MM = 3.0
_MOST_VOXELS = {"cpu": 70_000, "gpu": 10_000_000}
"""Of a patch. On two cores a step's time decides before the memory does: see decision 0020."""
_AUGMENTATION = Augmentation(
    flip=0.5, rotation_degrees=15, scale=0.2, brightness=0.2, contrast=0.2, gamma=0.2, noise=0.1
)

Patch = tuple[int, int, int]


def plan_volumes(fingerprint: Fingerprint, dimensions: Dimensions, budget: Budget) -> Plan:
    """Choose a recipe for CT volumes.

    Args:
        fingerprint: of at least one volume.
        dimensions: "3" for patches of the volume; "2.5" for a slice and its neighbours as
            channels; "2" for a slice alone.
        budget: what a training may use.

    Raises:
        InputError: not even a small patch fits into the memory.
    """
    spacing, why_spacing = target_spacing(fingerprint)
    region, why_region = _region(fingerprint)
    window, why_window = _window(fingerprint)
    mean_hu, sd_hu = (
        float(np.median([facts.region_hu[place] for facts in fingerprint.volumes]))
        for place in (0, 1)
    )
    extent_mm = _extent(fingerprint, region)
    channels, why_channels = _neighbours(dimensions, spacing)
    spec, patch, why_patch = _largest_patch(extent_mm, spacing, channels, dimensions, budget)
    sides = patch if dimensions == "3" else patch[1:]
    wanted = _BATCH_3D[budget.hardware] if dimensions == "3" else _BATCH_2D
    batch = batch_that_fits(spec, sides, budget, wanted=wanted)
    deep = min(_MOST_DEEP_SUPERVISION, len(spec.channels) - 2)
    num_patches, why_patches = _patches(fingerprint, budget)
    choices = (
        Choice("volume.spacing_mm", spacing, why_spacing),
        Choice("volume.region", region, why_region),
        Choice("volume.window_hu", window, why_window),
        Choice("volume.mean_hu", mean_hu, "of the voxels that are searched; median of the scans"),
        Choice("volume.sd_hu", sd_hu, "their standard deviation; median of the scans"),
        Choice("volume.patch", patch, why_patch),
        Choice("volume.patches_per_volume", num_patches, why_patches),
        Choice("network.input_channels", channels, why_channels),
        Choice("network", network_in_words(spec), _why_network(spec, spacing, budget)),
        Choice("loss", " + ".join(term.name for term in CT_LOSS), _WHY_LOSS),
        Choice("optimisation.batch_size", batch, _why_batch(batch, wanted)),
        Choice("optimisation.deep_supervision", deep, _WHY_DEEP),
        Choice("optimisation.epochs", _EPOCHS[budget.hardware], _WHY_EPOCHS),
    )
    recipe = Recipe(
        name=f"planned-{dimensions}d",
        volume=VolumePreprocessing(
            spacing_mm=spacing,
            window_hu=window,
            mean_hu=mean_hu,
            sd_hu=max(sd_hu, 1.0),
            patch=patch,
            region="breasts" if region == "breasts" else "scan",
            margin_mm=MARGIN_MM,
            patches_per_volume=num_patches,
        ),
        augmentation=_AUGMENTATION,
        network=spec,
        loss=CT_LOSS,
        optimisation=Optimisation(
            learning_rate=2e-3,
            ema_decay=0.995,
            batch_size=batch,
            deep_supervision=deep,
            epochs=_EPOCHS[budget.hardware],
            schedule=Schedule(name="cosine", warmup_epochs=1),
        ),
    )
    memory = PROGRAMS_BYTES + training_bytes(spec, sides, batch)
    return Plan(
        recipe=recipe,
        choices=choices,
        fingerprint=fingerprint,
        budget=budget,
        memory_bytes=memory,
    )


def axes_to(values: tuple[float, float]) -> str:
    """Return a range in words."""
    return f"{values[0]:g} to {values[1]:g}"


def target_spacing(fingerprint: Fingerprint) -> tuple[Triple, str]:
    """Return the spacing of the network's grid and why.

    The median along each axis; of thick slices the 10th percentile, where they are more than
    three times as thick as the voxels are wide; but no finer than a fifth of a small lesion, the
    10th percentile of the diameters.
    """
    spacings = [facts.spacing_mm for facts in fingerprint.volumes]
    target = list(middle(spacings))
    told = f"median of {len(spacings)} scans"
    thickest = int(np.argmax(target))
    if target[thickest] > _ANISOTROPIC * min(target):
        target[thickest] = float(np.percentile([each[thickest] for each in spacings], 10))
        told += ", of the thick axis the 10th percentile"
    small = percentile([mm for facts in fingerprint.volumes for mm in facts.lesion_mm], 10)
    if small is not None:
        least = small / _VOXELS_ACROSS_LESION
        if any(each < least for each in target):
            told += (
                f", but no finer than {least:.2f} mm: {_VOXELS_ACROSS_LESION} voxels across a "
                f"small lesion ({small:.1f} mm, the 10th percentile)"
            )
        target = [max(each, least) for each in target]
    first, second, third = (round(each, 2) for each in target)
    return (first, second, third), told


def _region(fingerprint: Fingerprint) -> tuple[str, str]:
    volumes = fingerprint.volumes
    found = sum(facts.breast_mm is not None for facts in volumes)
    lesions = sum(len(facts.lesion_mm) for facts in volumes)
    inside = sum(facts.num_in_breasts for facts in volumes)
    told = f"breasts were found in {found} of {len(volumes)} scans"
    if lesions:
        told += f" and hold {inside} of {lesions} lesions"
    wanted = found >= _IN_BREASTS * len(volumes) and inside >= _IN_BREASTS * lesions
    return ("breasts" if wanted else "scan"), told + f" ({_IN_BREASTS:.0%} of both are asked for)"


def _window(fingerprint: Fingerprint) -> tuple[tuple[float, float], str]:
    bounds = [facts.lesion_hu for facts in fingerprint.volumes if facts.lesion_hu is not None]
    if not bounds:
        return WINDOW_HU, "soft tissue, fat and contrast medium; no lesion says otherwise"
    low, high = (float(np.median([each[place] for each in bounds])) for place in (0, 1))
    window = (min(WINDOW_HU[0], _outward(low, -1)), max(WINDOW_HU[1], _outward(high, 1)))
    told = f"lesion voxels lie from {low:.0f} to {high:.0f} HU (0.5th and 99.5th percentile)"
    if window == WINDOW_HU:
        return window, f"soft tissue, fat and contrast medium; {told}"
    return window, f"wider than {axes_to(WINDOW_HU)}, as {told}"


def _outward(value: float, sign: int) -> float:
    return sign * math.ceil(sign * value / 50) * 50.0


def _extent(fingerprint: Fingerprint, region: str) -> Triple:
    """Return what a patch need not exceed: the median breast with its margin, or scan."""
    boxes = [facts.breast_mm for facts in fingerprint.volumes if facts.breast_mm is not None]
    if region == "breasts" and boxes:
        first, second, third = (side + 2 * MARGIN_MM for side in middle(boxes))
        return first, second, third
    return middle([facts.size_mm for facts in fingerprint.volumes])


def _neighbours(dimensions: Dimensions, spacing: Triple) -> tuple[int, str]:
    if dimensions == "3":
        return 1, "patches of the volume"
    if dimensions == "2":
        return 1, "single slices"
    num = 5 if spacing[0] < _THIN_SLICE_MM else 3
    reach = (num // 2) * spacing[0]
    return num, f"a slice and its neighbours up to {reach:.1f} mm away, as {num} channels"


def _largest_patch(
    extent_mm: Triple, spacing: Triple, channels: int, dimensions: Dimensions, budget: Budget
) -> tuple[UNetSpec, Patch, str]:
    """Shorten the side that reaches farthest, until two patches fit into the budget."""
    voxels = [extent / step for extent, step in zip(extent_mm, spacing, strict=True)]
    told = f"{axes_in_words(extent_mm)} mm, the median extent of what is searched"
    if dimensions != "3":
        voxels[0] = 1.0
    shortened = ""
    for spec, patch in _candidates(voxels, spacing, channels, dimensions, budget):
        sides = patch if dimensions == "3" else patch[1:]
        enough = fits(spec, sides, _FITTING_PATCHES, budget)
        if enough and math.prod(sides) <= _MOST_VOXELS[budget.hardware]:
            return spec, patch, f"{told}{shortened}"
        if not enough:
            shortened = f"; shortened until {_FITTING_PATCHES} patches fit into the memory"
        elif not shortened:
            shortened = "; shortened, since two cores would take long over more voxels"
    raise InputError(
        f"--memory {budget.memory_gb:g}GB: not even a small patch fits. Give more, or take "
        "--dimensions 2.5."
    )


def _candidates(
    voxels: list[float], spacing: Triple, channels: int, dimensions: Dimensions, budget: Budget
) -> Iterator[tuple[UNetSpec, Patch]]:
    """Yield networks with their patches, from the largest on."""
    axes: Literal[2, 3] = 3 if dimensions == "3" else 2
    wanted = UNetSpec(
        dimensions=axes,
        input_channels=channels,
        channels=widths(budget.hardware, axes),
        norm="group",
    )
    sides = [max(2 * SMALLEST_SIDE, math.ceil(each)) for each in voxels[3 - axes :]]
    while True:
        spec, whole = _rounded_up(wanted, spacing[3 - axes :], sides)
        if axes == 3 and budget.hardware == "cpu":
            spec = _flat_at_first(spec)
        first, second, third = [1, *whole][-3:]
        yield spec, (first, second, third)
        reach = [side * step for side, step in zip(sides, spacing[3 - axes :], strict=True)]
        longest = int(np.argmax(reach))
        if sides[longest] <= 4 * SMALLEST_SIDE:
            return
        sides[longest] = max(4 * SMALLEST_SIDE, round(sides[longest] * 0.9))


def _rounded_up(
    wanted: UNetSpec, spacing: Sequence[float], sides: Sequence[int]
) -> tuple[UNetSpec, list[int]]:
    """Return the network of a patch, and the patch in multiples of what the network halves.

    Rounding up may make room for one level more, which asks for larger multiples.
    """
    whole = list(sides)
    while True:
        spec = fitted_to_voxels(wanted, spacing, whole)
        rounded = [side + -side % step for side, step in zip(whole, spec.stride, strict=True)]
        if rounded == whole:
            return spec, whole
        whole = rounded


def _flat_at_first(spec: UNetSpec) -> UNetSpec:
    """Look along the slices from the third level on: the finest levels take most of the time."""
    first: tuple[Kernel, ...] = ((1, 3, 3),) * _FLAT_LEVELS
    kernels = tuple(spec.kernel_at(level) for level in range(len(spec.channels)))
    changed = (first + kernels[_FLAT_LEVELS:])[: len(kernels)]
    return UNetSpec.model_validate(spec.model_dump() | {"kernels": changed})


def _why_network(spec: UNetSpec, spacing: Triple, budget: Budget) -> str:
    told = f"halved while {SMALLEST_SIDE} voxels are left"
    if spec.dimensions == 3 and max(spacing) >= 2 * min(spacing):
        told += "; the thick axis later than the others"
    if spec.dimensions == 3 and budget.hardware == "cpu":
        told += "; for two cores, the finest levels look within slices alone"
    return told


def _why_batch(batch: int, wanted: int) -> str:
    if batch == wanted:
        return "as many as are usual; larger patches come first"
    return f"what fits into the memory; {wanted} would be usual"


def _patches(fingerprint: Fingerprint, budget: Budget) -> tuple[int, str]:
    goal = _EPOCH_PATCHES[budget.hardware]
    num = min(_MOST_PER_VOLUME, max(2, math.ceil(goal / fingerprint.num_cases)))
    return num, f"about {goal} patches in an epoch over {fingerprint.num_cases} scans"
