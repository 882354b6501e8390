"""The rules for pictures: size, network, batch."""

import math

import numpy as np

from breastseg.core.errors import InputError
from breastseg.core.fingerprint import Fingerprint
from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import Preprocessing, Recipe
from breastseg.core.recipes import ultrasound_scratch
from breastseg.networks.anisotropy import SMALLEST_SIDE, fitted_to_voxels
from breastseg.networks.memory import training_bytes
from breastseg.networks.planning import (
    PROGRAMS_BYTES,
    Budget,
    Choice,
    Plan,
    batch_that_fits,
    fits,
    network_in_words,
    percentile,
    widths,
)

_STEP = 32
_SMALLEST, _LARGEST = 64, {"cpu": 256, "gpu": 512}
_PIXELS_ACROSS_LESION = 12
_WANTED = {"cpu": 8, "gpu": 16}


def plan_pictures(fingerprint: Fingerprint, budget: Budget) -> Plan:
    """Choose a recipe for pictures.

    Args:
        fingerprint: of at least one picture.
        budget: what a training may use.

    Raises:
        InputError: nothing fits into the memory.
    """
    size, why_size = _size(fingerprint, budget)
    while True:
        spec = _network(size, budget)
        if fits(spec, (size, size), 1, budget):
            break
        if size <= _SMALLEST:
            raise InputError(f"--memory {budget.memory_gb:g}GB: no network fits. Give more.")
        size -= _STEP
        why_size = "the largest that fits into the memory"
    wanted = _WANTED[budget.hardware]
    batch = batch_that_fits(spec, (size, size), budget, wanted=wanted)
    base = ultrasound_scratch()
    epochs = base.optimisation.epochs
    recipe = Recipe(
        name="planned-2d",
        preprocessing=Preprocessing(size=size),
        augmentation=base.augmentation,
        network=spec,
        optimisation=base.optimisation.model_copy(update={"batch_size": batch}),
    )
    usual = "as many as are usual" if batch == wanted else "what fits into the memory"
    return Plan(
        recipe=recipe,
        choices=(
            Choice("preprocessing.size", size, why_size),
            Choice("network", network_in_words(spec), f"halved while {SMALLEST_SIDE} are left"),
            Choice("optimisation.batch_size", batch, usual),
            Choice("augmentation", base.name, "that of the shipped recipe"),
            Choice("optimisation", base.name, f"that of the shipped recipe, {epochs} epochs"),
        ),
        fingerprint=fingerprint,
        budget=budget,
        memory_bytes=PROGRAMS_BYTES + training_bytes(spec, (size, size), batch),
    )


def _size(fingerprint: Fingerprint, budget: Budget) -> tuple[int, str]:
    """Return the least size that leaves small lesions twelve pixels, within bounds.

    Images are scaled by their longer side; nothing is gained beyond their median one.
    """
    longer = [max(facts.size) for facts in fingerprint.pictures]
    middle = float(np.median(longer))
    most = min(_LARGEST[budget.hardware], _rounded_up(middle))
    shares = [
        diameter / max(facts.size) for facts in fingerprint.pictures for diameter in facts.lesion_px
    ]
    small = percentile(shares, 10)
    if small is None:
        return max(_SMALLEST, min(most, 128)), "no lesion says what is needed"
    needed = _rounded_up(_PIXELS_ACROSS_LESION / small)
    size = max(_SMALLEST, min(most, needed))
    told = (
        f"a small lesion (10th percentile) is {small:.1%} of the longer side across, and "
        f"{small * size:.0f} pixels then"
    )
    if needed > most:
        told += f"; {needed} would give it {_PIXELS_ACROSS_LESION}, but the limit here is {most}"
    return size, told


def _rounded_up(size: float) -> int:
    return math.ceil(size / _STEP) * _STEP


def _network(size: int, budget: Budget) -> UNetSpec:
    wanted = UNetSpec(channels=widths(budget.hardware, 2), norm="group")
    spec = fitted_to_voxels(wanted, (1.0, 1.0), (size, size))
    # Sizes are multiples of 32: one level more would need multiples of 64.
    while size % spec.stride[0]:
        fewer = spec.channels[:-1]
        spec = fitted_to_voxels(
            wanted.model_copy(update={"channels": fewer}), (1.0, 1.0), (size,) * 2
        )
    return spec
