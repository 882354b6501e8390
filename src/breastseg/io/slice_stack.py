"""From frames with positions to one regular grid, or the reason why there is none."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from breastseg.core.orientation import SHEAR_TOLERANCE, Affine
from breastseg.core.scan_faults import ScanError, ScanFault
from breastseg.io.dicom_frames import Frame, Vector

# Direction cosines of one series are the same numbers, but for their last digits.
_SAME_DIRECTION = 1e-4
# Positions in mm are written with at least two decimals.
_SAME_MM = 1e-3
# How far a slice may lie from its place on the grid, as a share of the distance of the slices.
_PLACE_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Frames in the order of the grid, and the grid.

    frames: along the normal of the slices, columns x rows, so that the grid is right-handed.
    affine: index (slice, row, column) to LPS in mm; sheared where the gantry was tilted.
    tilt_degrees: between the normal of the slices and the direction of the stack; 0 for none.
    """

    frames: tuple[Frame, ...]
    affine: Affine
    tilt_degrees: float


def stack_frames(frames: Sequence[Frame]) -> Stack:
    """Order frames by position and check that they fill a regular grid.

    The directions of the patient come from orientation and position alone; whether he lay
    prone or came feet first is in them.

    Raises:
        ScanError: mixed-size, mixed-spacing, mixed-orientation, mixed-frame-of-reference,
            no-spacing, duplicate-slice, missing-slice, uneven-slices, shifted-slices; always
            with the file of the slice that is out of line.
    """
    _check_alike(frames)
    first = frames[0]
    normal = np.cross(first.columns_direction, first.rows_direction)
    ordered = sorted(frames, key=lambda frame: float(frame.position @ normal))
    if len(ordered) == 1:
        step, tilt = normal * _thickness(first), 0.0
    else:
        step = _even_step(ordered, normal)
        tilt = _tilt_degrees(step, normal)
    return Stack(frames=tuple(ordered), affine=_affine(ordered[0], step), tilt_degrees=tilt)


def _affine(first: Frame, step: Vector) -> Affine:
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = first.rows_direction * first.pixel_spacing_mm[0]
    affine[:3, 2] = first.columns_direction * first.pixel_spacing_mm[1]
    affine[:3, 3] = first.position
    return affine


def _check_alike(frames: Sequence[Frame]) -> None:
    """Compare every frame with what most of the frames have, so that the odd one is named."""
    checks: tuple[tuple[ScanFault, str, Callable[[Frame], Any]], ...] = (
        (ScanFault.MIXED_FRAME_OF_REFERENCE, "frame of reference", _frame_of_reference),
        (ScanFault.MIXED_ORIENTATION, "orientation", _orientation),
        (ScanFault.MIXED_SIZE, "size (rows, columns)", lambda frame: frame.size),
        (ScanFault.MIXED_SPACING, "PixelSpacing", _spacing),
    )
    for fault, name, value_of in checks:
        values = [value_of(frame) for frame in frames]
        usual = max(values, key=values.count)
        tolerance = {ScanFault.MIXED_ORIENTATION: _SAME_DIRECTION, ScanFault.MIXED_SPACING: 1e-6}
        for frame, value in zip(frames, values, strict=True):
            if not _same(value, usual, tolerance.get(fault, 0)):
                found = f"expected the {name} of the other slices, {usual}, found {value}"
                raise ScanError(fault, frame.path, found)


def _frame_of_reference(frame: Frame) -> str | None:
    return frame.frame_of_reference_uid


def _orientation(frame: Frame) -> tuple[float, ...]:
    directions = (*frame.columns_direction, *frame.rows_direction)
    return tuple(round(float(value), 6) for value in directions)


def _spacing(frame: Frame) -> tuple[float, float]:
    return frame.pixel_spacing_mm


def _same(value: Any, usual: Any, tolerance: float) -> bool:
    if not tolerance:
        return bool(value == usual)
    return bool(np.allclose(value, usual, rtol=0, atol=tolerance))


def _thickness(frame: Frame) -> float:
    if frame.slice_thickness_mm is None:
        found = "expected SliceThickness above 0 of a single slice, found none"
        raise ScanError(ScanFault.NO_SPACING, frame.path, found)
    return frame.slice_thickness_mm


def _even_step(ordered: Sequence[Frame], normal: Vector) -> Vector:
    """Return the vector from each slice to the next."""
    positions = np.array([frame.position for frame in ordered])
    places = positions @ normal
    gaps = np.diff(places)
    usual = float(np.median(gaps))
    for at, gap in enumerate(gaps):
        _check_gap(ordered[at], ordered[at + 1], float(gap), usual)
    step: Vector = (positions[-1] - positions[0]) / (len(ordered) - 1)
    expected = positions[0] + np.arange(len(ordered))[:, None] * step
    off = positions - expected
    along = off @ normal
    aside = np.linalg.norm(off - along[:, None] * normal, axis=1)
    tolerance = max(_PLACE_TOLERANCE * usual, _SAME_MM)
    for fault, distances in (
        (ScanFault.UNEVEN_SLICES, np.abs(along)),
        (ScanFault.SHIFTED_SLICES, aside),
    ):
        worst = int(distances.argmax())
        if distances[worst] > tolerance:
            found = (
                f"expected the slice on the even grid of the {len(ordered)} slices, found it "
                f"{distances[worst]:.4g} mm off"
            )
            raise ScanError(fault, ordered[worst].path, found)
    return step


def _check_gap(before: Frame, after: Frame, gap: float, usual: float) -> None:
    if gap <= max(_PLACE_TOLERANCE * usual, _SAME_MM):
        found = f"expected one slice at each position, found {before.path.name} at the same one"
        raise ScanError(ScanFault.DUPLICATE_SLICE, after.path, found)
    times = gap / usual
    if times > 1.5 and abs(times - round(times)) <= _PLACE_TOLERANCE * round(times):
        found = (
            f"expected the next slice after {usual:.4g} mm, found it after {gap:.4g} mm: "
            f"{round(times) - 1} missing before this one, after {before.path.name}"
        )
        raise ScanError(ScanFault.MISSING_SLICE, after.path, found)


def _tilt_degrees(step: Vector, normal: Vector) -> float:
    aside = float(np.linalg.norm(step - (step @ normal) * normal))
    sine = aside / float(np.linalg.norm(step))
    return float(np.degrees(np.arcsin(sine))) if sine > SHEAR_TOLERANCE else 0.0
