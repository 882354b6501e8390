"""Kernels and strides that suit thick slices."""

from collections.abc import Sequence

from breastseg.core.errors import GeometryError
from breastseg.core.network_recipe import UNetSpec

SMALLEST_SIDE = 4
"""Voxels of the latent level along an axis: fewer are not halved for."""

_MUCH_COARSER = 2.0


def fitted_to_voxels(spec: UNetSpec, spacing_mm: Sequence[float], shape: Sequence[int]) -> UNetSpec:
    """Return the network with kernels and strides for voxels of that spacing.

    An axis whose spacing is twice the finest or more is neither halved nor looked along at that
    level: the finer axes are halved first, until the voxels are nearly cubes. An axis that is too
    short to be halved holds no other back. A convolution that has once looked along an axis does
    so at all coarser levels. Levels that the shape cannot bear are left out: no side is halved to
    less than SMALLEST_SIDE voxels.

    Args:
        spec: what is wanted otherwise; its levels are the most there will be.
        spacing_mm: (slice, row, column), or (row, column): above 0, or in any other unit.
        shape: of the patches that the network is trained on, along the same axes.

    Raises:
        GeometryError: spacing and shape are not of one grid, or no axis can be halved.

    Source: Isensee et al. 2021 (nnU-Net), online methods, "Inferred parameters", on topology.

    >>> spec = UNetSpec(channels=(8, 16, 32, 64))
    >>> fitted = fitted_to_voxels(spec, (5.0, 0.9, 0.9), (16, 128, 128))
    >>> fitted.kernels
    ((1, 3, 3), (1, 3, 3), (3, 3, 3), (3, 3, 3))
    >>> fitted.strides
    ((1, 2, 2), (1, 2, 2), (2, 2, 2))
    """
    _check_grid(spacing_mm, shape)
    spacing, sides, kernel = list(spacing_mm), list(shape), [1] * len(shape)
    kernels, strides = [], []
    while True:
        limit = _limit(spacing, sides)
        kernel = _kernel(spacing, limit, kernel)
        kernels.append(tuple(kernel))
        stride = _stride(spacing, limit, sides)
        if len(kernels) == len(spec.channels) or set(stride) == {1}:
            break
        strides.append(tuple(stride))
        spacing = [each * step for each, step in zip(spacing, stride, strict=True)]
        sides = [each // step for each, step in zip(sides, stride, strict=True)]
    if not strides:
        raise GeometryError(
            f"patches of the shape {tuple(shape)}: a network needs one side of "
            f"{2 * SMALLEST_SIDE} voxels or more. Take larger patches."
        )
    return _with_levels(spec, kernels, strides)


def _check_grid(spacing_mm: Sequence[float], shape: Sequence[int]) -> None:
    if len(spacing_mm) != len(shape) or len(shape) not in (2, 3):
        raise GeometryError(
            "spacing and shape must both be (slice, row, column) or (row, column), got "
            f"{tuple(spacing_mm)} and {tuple(shape)}."
        )
    if not all(0 < each < float("inf") for each in spacing_mm):
        raise GeometryError(f"each spacing must be above 0 and finite, got {tuple(spacing_mm)}.")


def _limit(spacing: Sequence[float], sides: Sequence[int]) -> float:
    """Return the spacing that counts as much coarser, beside the axes that can be halved."""
    both = zip(spacing, sides, strict=True)
    fine = [each for each, side in both if side >= 2 * SMALLEST_SIDE]
    return _MUCH_COARSER * min(fine, default=float("inf"))


def _kernel(spacing: Sequence[float], limit: float, above: Sequence[int]) -> list[int]:
    """Look along the axes that are not much coarser, and along those of the level above."""
    return [3 if old == 3 or each < limit else 1 for each, old in zip(spacing, above, strict=True)]


def _stride(spacing: Sequence[float], limit: float, sides: Sequence[int]) -> list[int]:
    """Halve, of the axes that are long enough, those not much coarser."""
    both = zip(spacing, sides, strict=True)
    return [2 if side >= 2 * SMALLEST_SIDE and each < limit else 1 for each, side in both]


def _with_levels(
    spec: UNetSpec, kernels: list[tuple[int, ...]], strides: list[tuple[int, ...]]
) -> UNetSpec:
    levels, per_level = len(kernels), spec.convolutions
    changed = {
        "dimensions": len(kernels[0]),
        "channels": spec.channels[:levels],
        "convolutions": per_level if isinstance(per_level, int) else per_level[:levels],
        "dropout": spec.dropout[: levels - 1],
        "kernels": kernels,
        "strides": strides,
    }
    return UNetSpec.model_validate(spec.model_dump() | changed)
