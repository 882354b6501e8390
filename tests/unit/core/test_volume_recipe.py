import pytest
from pydantic import ValidationError

from breastseg.core.network_recipe import UNetSpec
from breastseg.core.recipe import Augmentation, Recipe
from breastseg.core.volume_recipe import VolumePreprocessing

FLAT = UNetSpec(input_channels=5, channels=(8, 16, 32))
DEEP = UNetSpec(dimensions=3, channels=(8, 16, 32), strides=((1, 2, 2), (2, 2, 2)))


def test_a_recipe_of_volumes_takes_networks_of_both_kinds() -> None:
    Recipe(network=DEEP, volume=VolumePreprocessing(patch=(6, 32, 32)))
    Recipe(network=FLAT, volume=VolumePreprocessing(patch=(1, 64, 64)))


@pytest.mark.parametrize(
    ("network", "patch", "message"),
    [
        (DEEP, (7, 32, 32), r"multiples of \(2, 4, 4\).*take \(8, 32, 32\)"),
        (FLAT, (2, 64, 64), "patches of one slice"),
        (UNetSpec(input_channels=2, channels=(8, 16)), (1, 64, 64), "odd number of channels"),
        (UNetSpec(dimensions=3, input_channels=3), (32, 96, 96), "must be 1 for volumes"),
    ],
)
def test_network_and_patch_must_agree(
    network: UNetSpec, patch: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        Recipe(network=network, volume=VolumePreprocessing(patch=patch))


@pytest.mark.parametrize("name", ["speckle", "aspect", "tone", "margin", "marks", "lesion_free"])
def test_changes_of_ultrasound_are_refused_for_volumes(name: str) -> None:
    with pytest.raises(ValidationError, match=rf"augmentation\.{name}"):
        Recipe(network=DEEP, volume=VolumePreprocessing(), augmentation=Augmentation(**{name: 0.1}))


def test_the_window_must_be_open() -> None:
    with pytest.raises(ValidationError, match="from a lower to a higher"):
        VolumePreprocessing(window_hu=(100, -100))


def test_a_recipe_of_images_keeps_its_fingerprint() -> None:
    assert Recipe().fingerprint() == Recipe(volume=None).fingerprint()
    assert (
        Recipe(network=DEEP).fingerprint()
        != Recipe(network=DEEP, volume=VolumePreprocessing()).fingerprint()
    )
