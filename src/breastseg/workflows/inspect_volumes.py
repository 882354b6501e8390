"""breastseg inspect, where the data are volumes: CT series, their masks in DICOM, or NIfTI."""

import logging
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from breastseg.core.errors import InputError
from breastseg.core.image import Pixels
from breastseg.datasets.inspection.volume_marks import Sight
from breastseg.datasets.inspection.volume_record import VolumeInspection
from breastseg.datasets.inspection.volumes import (
    MaskChoice,
    ReadSeries,
    find_volumes,
    list_structures,
)
from breastseg.datasets.inspection.volumes import inspect_volumes as inspect_tree
from breastseg.io.atomic import write_json, write_text
from breastseg.io.dicom_masks import is_mask_file
from breastseg.io.dicom_series import read_series
from breastseg.io.file_kinds import is_nifti
from breastseg.io.raster import encode_jpeg
from breastseg.pipeline.breast_region import SIDES, BreastRegion, find_breasts
from breastseg.report.rendering import data_uri
from breastseg.report.volume_planes import Viewer
from breastseg.report.volume_views import SOFT_TISSUE, Window, region_picture, survey_picture
from breastseg.report.volumes import VolumePicture, volumes_page
from breastseg.workflows.progress import Reading, log_file, silent_reading

__all__ = ["MaskChoice", "holds_volumes", "inspect_volumes", "is_mask_file", "list_structures"]

_SHOWN_PERCENTILES = (1, 99)
_NUM_SAMPLED = 1_000_000

log = logging.getLogger(__name__)


def holds_volumes(data: Path) -> bool:
    """Whether a path is a data set of volumes, one file of a CT series, or a NIfTI volume."""
    if data.is_file() and is_nifti(data):
        return True
    try:
        found = find_volumes(data, on_fault=lambda fault: None)
    except InputError:
        return False
    return any(case.is_volume for case in found.cases)


def inspect_volumes(
    data: Path,
    *,
    choice: MaskChoice | None = None,
    resample_tilt: bool = False,
    workers: int = 1,
    report: Path | None = None,
    reading: Reading | None = None,
) -> VolumeInspection:
    """Inspect volumes: geometry, values, three planes, structures and breasts with their volumes.

    Args:
        data: a folder with CT series, and SEG or RTSTRUCT files that refer to them; one file of
            a CT series; nnU-Net raw with NIfTI; or a NIfTI volume.
        choice: which structures are measured, and how; all of them by default.
        resample_tilt: straighten the slices of a tilted gantry; they are refused otherwise.
        workers: processes that decode long compressed series; 1 starts none.
        report: where inspection.json and inspection.html go; None writes nothing.
        reading: told of the progress.

    Raises:
        LayoutError: there is no such folder, or no volume in it.
        OutputError: the report cannot be written.
    """
    choice = choice or MaskChoice()
    reading = reading or silent_reading
    read = partial(read_series, resample_tilt=resample_tilt, workers=workers)
    looked: dict[str, _Looked] = {}
    if report is None:
        return _inspected(data, choice, reading, read, looked, draw=False)
    with log_file(report):
        inspection = _inspected(data, choice, reading, read, looked)
        pictures = {case: each.pictures for case, each in looked.items()}
        document = inspection.to_document()
        write_json(report / "inspection.json", document)
        write_text(report / "inspection.html", volumes_page(document, pictures))
        log.info(
            "%s: %d volumes, %d findings",
            data,
            len(inspection.records),
            len(inspection.findings),
        )
    return inspection


@dataclass(frozen=True, slots=True)
class _Looked:
    """What was seen of one volume while it was in memory."""

    breasts: dict[str, Any] | None
    pictures: tuple[VolumePicture, ...]


def _inspected(
    data: Path,
    choice: MaskChoice,
    reading: Reading,
    read: ReadSeries,
    looked: dict[str, _Looked],
    *,
    draw: bool = True,
) -> VolumeInspection:
    """Inspect volumes and look for the breasts in each CT; `looked` is filled by case id."""

    def look(sight: Sight) -> None:
        looked[sight.case_id] = _look(sight, draw=draw)

    inspection = inspect_tree(data, choice, reading, read=read, look=look)
    records = (
        replace(each, breasts=looked[each.files.case_id].breasts)
        if each.files.case_id in looked
        else each
        for each in inspection.records
    )
    return replace(inspection, records=tuple(records))


def _look(sight: Sight, *, draw: bool) -> _Looked:
    region = find_breasts(sight.image) if sight.in_hu else None
    breasts = None if region is None else region.to_document()
    if not draw:
        return _Looked(breasts, ())
    if region is None or not region.sides:
        return _Looked(breasts, (_picture(sight),))
    outlined = _region_picture(sight, region)
    # Without masks, planes through the middle would show nothing more.
    return _Looked(breasts, (outlined,) if sight.through is None else (_picture(sight), outlined))


def _region_picture(sight: Sight, region: BreastRegion) -> VolumePicture:
    """Draw planes through the larger breast, with the outlines of both."""
    side = max(region.sides, key=lambda each: each.volume_ml).side
    viewer = Viewer.of(sight.image, region.labels.astype(np.int32))
    picture = region_picture(viewer, SIDES[side])
    return VolumePicture(
        case_id=sight.case_id,
        url=data_uri(encode_jpeg(picture), "jpeg"),
        caption=f"The breast region, in planes through the {side} breast where it is largest",
    )


def _picture(sight: Sight) -> VolumePicture:
    """Draw three planes as JPEG, so that a page over many series stays small."""
    window = SOFT_TISSUE if sight.in_hu else _window_of(sight.image.pixels)
    picture = survey_picture(Viewer.of(sight.image, sight.labels), sight.number, window)
    caption = "Planes through the middle of the volume"
    if len(sight.image.pixels) == 1:
        caption = "The one slice"
    if sight.through is not None:
        caption = f"Planes through '{sight.through}', each where its largest part is largest"
    return VolumePicture(
        case_id=sight.case_id, url=data_uri(encode_jpeg(picture), "jpeg"), caption=caption
    )


def _window_of(pixels: Pixels) -> Window:
    """Return a window for values of an unknown unit, from a sample of the voxels."""
    sample = pixels.ravel()[:: max(1, pixels.size // _NUM_SAMPLED)]
    low, high = (float(each) for each in np.percentile(sample, _SHOWN_PERCENTILES))
    return Window("1st to 99th percentile", (low + high) / 2, max(high - low, 1e-6), unit="")
