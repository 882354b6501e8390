"""How a CT volume becomes the network's input: a part of a recipe."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from breastseg.core.network_recipe import NetworkSpec
from breastseg.core.recipe_part import Count, NonNegative, Positive, RecipePart


class VolumePreprocessing(RecipePart):
    """How a CT volume becomes the network's input; the same in training and prediction.

    All triples run to (head, posterior, left) of the patient, whatever the order of the file.

    spacing_mm: between the voxels of the grid that the network sees.
    window_hu: values are cut to it, then mean_hu is taken away and the rest divided by sd_hu.
    patch: voxels of a training patch and of a tile in prediction. A network of two dimensions
        takes patches of one slice; its input channels are that slice and its neighbours.
    region: where lesions are looked for: in the breasts, see pipeline.breast_region, or in all
        of the scan.
    margin_mm: around the breasts, that still belongs to them.
    lesion_share: of the training patches, those that are drawn around a lesion.
    patches_per_volume: that are drawn in an epoch.
    """

    spacing_mm: tuple[Positive, Positive, Positive] = (2.0, 1.5, 1.5)
    window_hu: tuple[float, float] = (-200.0, 300.0)
    mean_hu: float = -20.0
    sd_hu: Positive = 90.0
    patch: tuple[Count, Count, Count] = (32, 96, 96)
    region: Literal["breasts", "scan"] = "breasts"
    margin_mm: NonNegative = 8.0
    lesion_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    patches_per_volume: Count = 4

    @model_validator(mode="after")
    def _window_is_open(self) -> Self:
        low, high = self.window_hu
        if low >= high:
            raise ValueError(f"window_hu must go from a lower to a higher value, got {low}, {high}")
        return self

    def problem_with(self, network: NetworkSpec) -> str | None:
        """Say why a network cannot take such patches; None where it can."""
        patch: tuple[int, ...] = self.patch
        if network.dimensions == 2:
            if patch[0] != 1 or network.input_channels % 2 == 0:
                return (
                    f"a network of two dimensions takes patches of one slice, and that slice with "
                    f"its neighbours as an odd number of channels; got volume.patch={patch}, "
                    f"network.input_channels={network.input_channels}"
                )
            patch = patch[1:]
        elif network.input_channels != 1:
            return f"network.input_channels must be 1 for volumes, got {network.input_channels}"
        if any(side % step for side, step in zip(patch, network.stride, strict=True)):
            fitting = tuple(
                side + -side % step for side, step in zip(patch, network.stride, strict=True)
            )
            return (
                f"volume.patch={patch} must be multiples of {network.stride}, which the network "
                f"halves it by: take {fitting}"
            )
        return None
