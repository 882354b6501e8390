"""What an inspection says of CT series and their masks, code by code."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from breastseg.core.image import Image
from breastseg.datasets.inspection.volume_geometry import describe_geometry
from breastseg.datasets.inspection.volume_record import VolumeInspection
from breastseg.datasets.inspection.volumes import (
    MaskChoice,
    inspect_volumes,
    list_structures,
)
from breastseg.io.nifti import write_nifti
from tests.dicom_masks import OBLIQUE, square, write_ct, write_rtstruct


def inspected(root: Path, **choice: object) -> VolumeInspection:
    return inspect_volumes(root, MaskChoice(**choice), lambda what, done, total: None)  # type: ignore[arg-type]


def codes(inspection: VolumeInspection) -> list[str]:
    return [finding.code for finding in inspection.findings]


def test_a_series_that_is_refused_hides_no_other(tmp_path: Path) -> None:
    write_ct(tmp_path / "good", name="good")
    broken = write_ct(tmp_path / "broken", name="broken")
    write_rtstruct(tmp_path / "rt.dcm", broken, {"a": [square(1, 2, 5)]})
    header = dcmread(broken.instance_paths[2])
    del header.RescaleIntercept
    header.save_as(broken.instance_paths[2])
    inspection = inspected(tmp_path)
    assert codes(inspection) == ["series-refused"]
    assert inspection.spoils
    summary = inspection.summary()
    assert (summary["volumes"], summary["readable"], summary["structures"]) == (2, 1, 0)
    (refused,) = (row for row in inspection.to_document()["cases"] if row["geometry"] is None)
    assert [each["name"] for each in refused["masks"][0]["structures"]] == ["a"]


def test_a_mask_that_does_not_belong_to_its_series_is_refused(tmp_path: Path) -> None:
    series = write_ct(tmp_path / "ct")

    def other_frame_without_images(header: object) -> None:
        header.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.3"  # type: ignore[attr-defined]
        for contour in header.ROIContourSequence[0].ContourSequence:  # type: ignore[attr-defined]
            del contour.ContourImageSequence

    rois = {"a": [square(1, 2, 5)]}
    write_rtstruct(tmp_path / "rt.dcm", series, rois, change=other_frame_without_images)
    inspection = inspected(tmp_path)
    assert codes(inspection) == ["mask-refused"]
    assert "[broken-reference]" in inspection.findings[0].message


def test_structures_are_measured_one_by_one(tmp_path: Path) -> None:
    series = write_ct(tmp_path / "ct")
    rois = {
        "two parts": [square(1, 1.5, 3.5), square(4, 7.5, 9.5)],
        "gap": [square(1, 1.5, 3.5), square(3, 1.5, 3.5)],
        "beyond": [square(4, 1.5, 3.5), square(5, 1.5, 3.5)],
    }
    write_rtstruct(tmp_path / "rt.dcm", series, rois)
    inspection = inspected(tmp_path)
    assert codes(inspection) == ["structure-refused", "lesions-unnamed", "mask-note"]
    assert not inspection.spoils
    (case,) = inspection.to_document()["cases"]
    two, gap, beyond = case["masks"][0]["structures"]
    assert (two["voxels"], two["lesions"], two["volume_mm3"]) == (8, 2, round(8 * 1.68, 1))
    assert (gap["voxels"], gap["refused"]) == (None, "gap")
    assert beyond["notes"] == [
        "1 of 2 contours lie beyond the slices of the image and were left out."
    ]
    filled = inspected(tmp_path, labels=("gap",), fill_gaps=True)
    assert codes(filled) == ["mask-note"]
    assert filled.summary()["structures"] == 1


def test_a_remark_on_a_series_is_passed_on(tmp_path: Path) -> None:
    series = write_ct(tmp_path / "ct")
    for path in series.instance_paths:
        header = dcmread(path)
        header.add_new("PixelPaddingValue", "US", 1000)
        header.save_as(path)
    assert codes(inspected(tmp_path)) == ["series-note"]


@pytest.mark.parametrize(
    ("rotation", "directions"),
    [
        (np.eye(3), ["L", "P", "H"]),
        (-np.eye(3), ["R", "A", "F"]),
        (np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]), ["H", "P", "L"]),
    ],
)
def test_directions_say_where_each_index_leads(rotation: np.ndarray, directions: list[str]) -> None:
    affine = np.eye(4)
    affine[:3, :3] = rotation * [2, 3, 4]
    pixels = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    described = describe_geometry(Image(pixels=pixels, affine=affine))
    assert described["directions"] == directions
    assert described["spacing_mm"] == [2, 3, 4]
    assert described["extent_mm"] == [4, 9, 16]
    assert described["oblique_degrees"] == 0
    assert described["hu"] == {"min": 0, "median": 11.5, "max": 23}


def test_an_oblique_grid_is_said_to_be_one(tmp_path: Path) -> None:
    described = describe_geometry(write_ct(tmp_path, directions=OBLIQUE).image)
    # Cosines of 0.8, 0.8 and, of the normal, 0.64 and less.
    assert described["oblique_degrees"] == pytest.approx(np.degrees(np.arccos(0.64)), abs=0.01)
    assert describe_geometry(Image(pixels=np.zeros((1, 2, 2), np.float32)))["spacing_mm"] is None


def test_a_mask_file_alone_is_listed(tmp_path: Path) -> None:
    series = write_ct(tmp_path / "ct")
    rois = {"a": [square(1, 2, 5)], "b": [square(1, 1, 2, type="POINT")]}
    path = write_rtstruct(tmp_path / "rt.dcm", series, rois)
    listed = list_structures(path)
    assert [(each["name"], each["closed"]) for each in listed["structures"]] == [
        ("a", True),
        ("b", False),
    ]
    assert (listed["series_named"], listed["images_named"]) == (1, 1)
    assert [each["name"] for each in list_structures(path, ["B"])["structures"]] == ["b"]


# --- sets of volumes ------------------------------------------------------------------------


@pytest.fixture
def nifti_set(tmp_path: Path) -> Path:
    """Three CT volumes of 2 mm3 voxels: two lesions of 4 and 32 voxels, none, and a wrong mask."""
    masks = {name: np.zeros((4, 8, 8), np.float32) for name in ("a", "b")}
    masks["a"][:1, :2, :2] = masks["a"][2:, 4:, 4:] = 1
    masks["c"] = np.zeros((3, 8, 8), np.float32)
    affine = np.diag([2.0, 1.0, 1.0, 1.0])
    for folder in ("imagesTr", "labelsTr"):
        (tmp_path / folder).mkdir()
    for name, mask in masks.items():
        pixels = np.full((4, 8, 8), -50.0, np.float32)
        pixels[0, 0, 0] = -1000
        write_nifti(
            tmp_path / "imagesTr" / f"{name}_0000.nii.gz", Image(pixels=pixels, affine=affine)
        )
        write_nifti(tmp_path / "labelsTr" / f"{name}.nii.gz", Image(pixels=mask, affine=affine))
    description = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "lesion": 1}}
    (tmp_path / "dataset.json").write_text(json.dumps({**description, "file_ending": ".nii.gz"}))
    return tmp_path


def test_a_set_of_nifti_volumes_is_inspected_with_its_lesions(nifti_set: Path) -> None:
    inspection = inspected(nifti_set)
    assert codes(inspection) == ["mask-refused", "mask-empty"]
    summary = inspection.summary()
    assert (summary["volumes"], summary["in_hu"], summary["patients"]) == (3, True, None)
    assert summary["spacing_mm"]["slice"] == {"min": 2, "median": 2, "max": 2}
    assert (summary["lowest"]["min"], summary["highest"]["max"]) == (-1000, -50)
    lesions = summary["lesions"]
    assert (lesions["volumes_known"], lesions["lesion_free"], lesions["count"]) == (2, 1, 2)
    assert lesions["volume_mm3"] == {"min": 8, "median": 36, "max": 64}
    assert lesions["diameter_mm"]["max"] == pytest.approx((6 / np.pi * 64) ** (1 / 3), abs=1e-3)


def test_lesions_of_a_tree_are_counted_where_they_are_named(tmp_path: Path) -> None:
    series = write_ct(tmp_path / "ct")
    rois = {"GTV": [square(1, 1.5, 3.5), square(4, 7.5, 9.5)], "heart": [square(1, 5.5, 7.5)]}
    write_rtstruct(tmp_path / "rt.dcm", series, rois)
    assert inspected(tmp_path).summary()["lesions"]["volumes_known"] == 0
    (tmp_path / "lesions.json").write_text('{"structures": ["gtv*"]}')
    inspection = inspected(tmp_path)
    assert codes(inspection) == []
    summary = inspection.summary()
    assert (summary["structures"], summary["lesions"]["count"]) == (2, 2)
