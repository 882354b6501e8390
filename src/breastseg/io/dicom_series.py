"""Reading a DICOM CT series as one volume in HU, or refusing it; nothing is guessed."""

from collections.abc import Sequence, Set
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float32

from breastseg.core.image import Image, Pixels
from breastseg.core.scan_faults import ScanError, ScanFault
from breastseg.core.series import Series, series_case_id
from breastseg.io.dicom_decoding import decode_frames
from breastseg.io.dicom_files import (
    CT_KINDS,
    ULTRASOUND_KIND,
    SeriesSummary,
    find_series,
    group_series,
    read_header,
    refusing_malformed,
)
from breastseg.io.dicom_frames import Frame, ct_frames
from breastseg.io.gantry_tilt import straighten
from breastseg.io.pydicom_silence import pydicom_silenced
from breastseg.io.slice_stack import Stack, stack_frames

_Value = TypeVar("_Value")

Source = SeriesSummary | Path | Sequence[Path]

# The lowest value of the 12-bit HU scale; what is below, or declared as padding, is no measurement.
FLOOR_HU = -1024.0


def read_series(source: Source, *, resample_tilt: bool = False, workers: int = 1) -> Series:
    """Read one CT series: single or multi-frame, or a single slice.

    Args:
        source: a summary of find_series; files of one series; or a file or folder with one CT
            series, beside which other modalities may lie.
        resample_tilt: interpolate slices of a tilted gantry onto a straight grid, with a note;
            they are refused otherwise.
        workers: processes that decode a long compressed series; 1 starts none. The result and
            the errors are the same.

    Returns:
        The series; voxels in HU, affine from (slice, row, column) to LPS.

    Raises:
        ScanError: see core.scan_faults for all the reasons.
    """
    summary = one_series(source)
    stack = _read_stack(summary, hounsfield=True)
    if stack.tilt_degrees and not resample_tilt:
        raise ScanError(ScanFault.GANTRY_TILT, stack.frames[0].path, _tilted(stack))
    pixels, padded = _hounsfield(stack.frames, workers)
    notes = _notes(stack.frames, padded)
    image = Image(pixels=pixels, affine=stack.affine)
    if stack.tilt_degrees:
        image = straighten(image, outside=FLOOR_HU)
        notes += (f"A gantry tilt of {stack.tilt_degrees:.1f} degrees was resampled (linear).",)
    return Series(
        case_id=series_case_id(summary.series_instance_uid, "CT"),
        modality="CT",
        image=image,
        series_instance_uid=summary.series_instance_uid,
        study_instance_uid=summary.study_instance_uid,
        instance_paths=_instance_paths(stack.frames),
        frame_of_reference_uid=stack.frames[0].frame_of_reference_uid,
        slice_thickness_mm=_one_of({frame.slice_thickness_mm for frame in stack.frames}),
        patient_position=_one_of({frame.patient_position for frame in stack.frames}),
        padded_share=padded / pixels.size,
        notes=notes,
    )


def read_grid(source: Source) -> Stack:
    """Read the grid of a CT series without its voxels, whatever their unit; see read_series.

    The affine of a tilted gantry is sheared, as the slices are.

    Raises:
        ScanError: as read_series, but for what concerns the values.
    """
    return _read_stack(one_series(source), hounsfield=False)


@pydicom_silenced()
def _read_stack(summary: SeriesSummary, *, hounsfield: bool) -> Stack:
    frames: list[Frame] = []
    for path in summary.paths:
        header = read_header(path)
        with refusing_malformed(path):
            frames += ct_frames(path, header, hounsfield=hounsfield)
    return stack_frames(frames)


def one_series(source: Source) -> SeriesSummary:
    """Return the one CT series of a source, or its one ultrasound series; see read_series.

    Where it has neither, the one series of whatever kind.

    Raises:
        ScanError: not-dicom, several-series, damaged-file.
    """
    if isinstance(source, SeriesSummary):
        return source
    if isinstance(source, Path):
        place, found = source, find_series(source)
    else:
        place, found = Path(source[0]), group_series(source)
    slices = [series for series in found if series.kind in CT_KINDS]
    chosen = slices or [series for series in found if series.kind == ULTRASOUND_KIND] or found
    if not chosen:
        raise ScanError(ScanFault.NOT_DICOM, place, "expected a series, found no DICOM file")
    if len(chosen) > 1:
        listed = ", ".join(f"{series.paths[0]} ({series.num_files} files)" for series in chosen[:5])
        found_text = f"expected one series, found {len(chosen)}, which begin with {listed}"
        raise ScanError(ScanFault.SEVERAL_SERIES, place, found_text)
    return chosen[0]


def _one_of(values: Set[_Value | None]) -> _Value | None:
    """Return what all slices say, or None where they differ or are silent."""
    return next(iter(values)) if len(values) == 1 else None


def _instance_paths(frames: Sequence[Frame]) -> tuple[Path, ...]:
    paths = tuple(frame.path for frame in frames)
    return paths[:1] if len(set(paths)) == 1 else paths


def _tilted(stack: Stack) -> str:
    return (
        f"expected slices that lie straight above each other, found a gantry tilt of "
        f"{stack.tilt_degrees:.1f} degrees"
    )


def _hounsfield(frames: Sequence[Frame], workers: int) -> tuple[Pixels, int]:
    """Decode frame by frame into one volume, so that no second copy is held.

    Returns:
        The volume, and how many of its voxels are padding.
    """
    pixels = np.empty((len(frames), *frames[0].size), np.float32)
    padded = 0
    with closing(decode_frames(frames, workers)) as decoded:
        for frame, values, stored in zip(frames, pixels, decoded, strict=True):
            if stored.shape != frame.size:
                found = f"expected {frame.size} (rows, columns), decoded {stored.shape}"
                raise ScanError(ScanFault.UNDECODABLE_PIXELS, frame.path, found)
            np.multiply(stored, np.float32(frame.slope), out=values, casting="unsafe")
            values += np.float32(frame.intercept)
            padded += _clear_padding(values, stored, frame)
    return pixels, padded


def _notes(frames: Sequence[Frame], padded: int) -> tuple[str, ...]:
    notes = []
    if padded:
        notes.append(f"{padded} voxels of padding were set to {FLOOR_HU:g} HU.")
    if len({(frame.slope, frame.intercept) for frame in frames}) > 1:
        notes.append("RescaleSlope or RescaleIntercept differ between the slices; each was obeyed.")
    if any(frame.lossy for frame in frames):
        notes.append("The images were compressed with loss: HU are not those of the scanner.")
    if len(frames) == 1:
        notes.append("A single slice: its extent across is the SliceThickness.")
    return tuple(notes)


def _clear_padding(
    values: Float32[np.ndarray, "rows columns"], stored: np.ndarray, frame: Frame
) -> int:
    """Set what is no measurement to the floor; return how many voxels that were."""
    nothing = values < FLOOR_HU
    if frame.padding is not None:
        nothing |= (stored >= frame.padding[0]) & (stored <= frame.padding[1])
    values[nothing] = FLOOR_HU
    return int(np.count_nonzero(nothing))
