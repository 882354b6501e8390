"""The recipes that ship with breastseg, each a function that returns a Recipe."""

from collections.abc import Callable, Mapping
from pathlib import Path

from breastseg.core.errors import RecipeError
from breastseg.core.loss_terms import LossTerm
from breastseg.core.network_recipe import NETWORKS, LiteUNetSpec, UNetSpec
from breastseg.core.recipe import (
    Augmentation,
    Optimisation,
    Preprocessing,
    Recipe,
    Schedule,
    read_recipe,
)
from breastseg.core.split_recipe import Split
from breastseg.core.volume_recipe import VolumePreprocessing


def seed_latent256() -> Recipe:
    """The Keras U-Net (latent space 256) that this project began with, its mistakes mended."""
    return Recipe(
        name="seed-latent256",
        preprocessing=Preprocessing(size=128),
        network=NETWORKS["unet-256"],
        loss=(LossTerm(name="bce-dice"),),
        optimisation=Optimisation(
            optimiser="adam",
            weight_decay=0.0,
            batch_size=32,
            epochs=10,
            schedule=Schedule(name="plateau"),
        ),
    )


def seed_latent1024() -> Recipe:
    """The PyTorch U-Net (1024 channels) that this project began with, its mistakes mended."""
    return Recipe(
        name="seed-latent1024",
        preprocessing=Preprocessing(size=128),
        network=NETWORKS["unet-1024"],
        loss=(LossTerm(name="bce-dice"),),
        optimisation=Optimisation(learning_rate=3e-4, epochs=30, schedule=Schedule(name="plateau")),
    )


def ultrasound_scratch() -> Recipe:
    """Breast ultrasound from random weights: ten minutes on two cores."""
    return Recipe(
        name="ultrasound-scratch",
        preprocessing=Preprocessing(size=128),
        augmentation=Augmentation(
            flip=0.5,
            rotation_degrees=15,
            scale=0.25,
            shift=0.1,
            brightness=0.3,
            contrast=0.3,
            gamma=0.3,
            noise=0.1,
        ),
        network=NETWORKS["unet-deep"],
        optimisation=Optimisation(
            batch_size=8, epochs=40, schedule=Schedule(name="cosine", warmup_epochs=2)
        ),
    )


def ultrasound_pretrained() -> Recipe:
    """Breast ultrasound on a pretrained encoder, with the class of the image: `ultrasound`.

    The model that ships was trained by it on BUSI and BUS-BRA: 57 minutes on two cores. That
    lesions are painted over was chosen by a comparison (decision 31), nothing else.
    """
    return Recipe(
        name="ultrasound-pretrained",
        split=Split(validation=0.05, calibration=0.1, test=0.15),
        preprocessing=Preprocessing(size=256),
        augmentation=Augmentation(
            flip=0.5,
            rotation_degrees=20,
            scale=0.4,
            aspect=0.3,
            shift=0.1,
            elastic=0.03,
            blur=1.5,
            speckle=0.2,
            shadow=0.4,
            depth_gain=0.3,
            tone=0.3,
            brightness=0.4,
            contrast=0.3,
            gamma=0.3,
            noise=0.15,
            margin=0.25,
            marks=0.3,
            lesion_free=0.1,
            inpaint=0.5,
            inpaint_beside=0.3,
        ),
        network=LiteUNetSpec(
            encoder="efficientnet-lite0", classes=("normal", "benign", "malignant")
        ),
        loss=(LossTerm(name="bce"), LossTerm(name="lesion-dice")),
        initial_weights="imagenet",
        optimisation=Optimisation(
            learning_rate=1e-3,
            batch_size=8,
            epochs=30,
            ema_decay=0.998,
            schedule=Schedule(name="cosine", warmup_epochs=2),
        ),
    )


def smoke() -> Recipe:
    """A small network on small images: a minute on two cores, for demonstrations and tests."""
    return Recipe(
        name="smoke",
        preprocessing=Preprocessing(size=64),
        augmentation=Augmentation(flip=0.5, scale=0.1, shift=0.1, brightness=0.2, contrast=0.2),
        network=UNetSpec(channels=(8, 16, 32, 64), norm="group"),
        optimisation=Optimisation(
            learning_rate=3e-3,
            batch_size=4,
            epochs=40,
            schedule=Schedule(name="cosine", warmup_epochs=1),
        ),
    )


_CT_AUGMENTATION = Augmentation(
    flip=0.5,
    rotation_degrees=20,
    scale=0.2,
    blur=0.8,
    brightness=0.15,
    contrast=0.15,
    gamma=0.2,
    noise=0.2,
)

CT_LOSS = (LossTerm(name="bce"), LossTerm(name="batch-dice"))
"""One voxel in a thousand is lesion. With the Dice of each patch alone a training on phantoms came
to find nothing."""


def ct_3d() -> Recipe:
    """Breast lesions in chest CT, by patches of the volume, by two cores in about 65 minutes.

    With 103 training and 17 validation volumes of 96 x 256 x 256, an epoch (824 steps) took 393
    to 533 s in PyTorch in bfloat16 on two cores that had other work too.
    """
    return Recipe(
        name="ct-3d",
        volume=VolumePreprocessing(
            spacing_mm=(2.5, 1.5, 1.5), patch=(16, 64, 64), patches_per_volume=32
        ),
        augmentation=_CT_AUGMENTATION,
        network=UNetSpec(
            dimensions=3,
            channels=(16, 32, 64, 96, 128),
            norm="group",
            kernels=((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
            strides=((1, 2, 2), (2, 2, 2), (2, 2, 2), (1, 2, 2)),
        ),
        loss=CT_LOSS,
        optimisation=Optimisation(
            learning_rate=2e-3,
            ema_decay=0.995,
            batch_size=4,
            deep_supervision=3,
            epochs=9,
            schedule=Schedule(name="cosine", warmup_epochs=1),
        ),
    )


def ct_25d() -> Recipe:
    """Breast lesions in chest CT, slice by slice with two neighbours; a first proposal.

    Neither its time nor its worth was measured yet.
    """
    return Recipe(
        name="ct-25d",
        volume=VolumePreprocessing(
            spacing_mm=(2.5, 1.5, 1.5), patch=(1, 128, 128), patches_per_volume=32
        ),
        augmentation=_CT_AUGMENTATION,
        network=UNetSpec(
            input_channels=5,
            channels=(16, 32, 64, 128, 128),
            norm="group",
        ),
        loss=CT_LOSS,
        optimisation=Optimisation(
            learning_rate=2e-3,
            ema_decay=0.995,
            batch_size=8,
            deep_supervision=2,
            epochs=12,
            schedule=Schedule(name="cosine", warmup_epochs=1),
        ),
    )


RECIPES: Mapping[str, Callable[[], Recipe]] = {
    "ultrasound-scratch": ultrasound_scratch,
    "ultrasound-pretrained": ultrasound_pretrained,
    "seed-latent256": seed_latent256,
    "seed-latent1024": seed_latent1024,
    "ct-3d": ct_3d,
    "ct-25d": ct_25d,
    "smoke": smoke,
}


def resolve_recipe(name_or_path: str) -> Recipe:
    """Return the shipped recipe of that name, or read a recipe file. A path beats a name.

    Raises:
        RecipeError: neither a file nor a shipped recipe, or the file is no recipe.
    """
    path = Path(name_or_path)
    if path.is_file():
        return read_recipe(path)
    if name_or_path not in RECIPES:
        raise RecipeError(
            f"'{name_or_path}' is neither a recipe file nor a shipped recipe. "
            f"Shipped are: {', '.join(RECIPES)} (`breastseg recipes list`)."
        )
    return RECIPES[name_or_path]()
