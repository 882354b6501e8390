"""DICOM studies as a data set: which mask belongs to which series."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from breastseg.core.errors import InputError, LayoutError
from breastseg.core.mask_faults import MaskError
from breastseg.core.series import Series
from breastseg.datasets.cases import CaseFiles
from breastseg.datasets.checked import find_training_data
from breastseg.datasets.dicom_tree import patient_group, read_volume
from breastseg.datasets.faults import Fault
from breastseg.datasets.layouts import find_data_set
from tests.dicom_masks import square, write_ct, write_rtstruct, write_seg


def write_study(root: Path, patient: str) -> tuple[Series, Series]:
    """Write two CT series of one patient and study; the second has the mask."""
    first = write_ct(root / patient / "scan 1", name="one", patient=patient)
    second = write_ct(root / patient / "scan 2", name="two", patient=patient)
    rois = {"tumour": [square(n, 2.5, 7.5) for n in (1, 2)], "heart": [square(3, 1.5, 9.5)]}
    # Beside the first series, to which it does not belong.
    write_rtstruct(root / patient / "scan 1" / "rt.dcm", second, rois)
    return first, second


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for patient in ("ANNA^A", "BERTA^B"):
        write_study(tmp_path / "tree", patient)
    return tmp_path / "tree"


def by_masks(root: Path) -> dict[bool, list[CaseFiles]]:
    found = find_data_set(root, volumes=True)
    assert found.layout == "DICOM tree"
    return {
        masked: [case for case in found.cases if bool(case.mask_paths) is masked]
        for masked in (True, False)
    }


def test_each_series_is_a_case_with_the_masks_that_name_it(tree: Path) -> None:
    cases = by_masks(tree)
    assert len(cases[True]) == len(cases[False]) == 2
    for case in cases[True]:
        assert case.image_path.parent.name == "scan 2"
        assert case.mask_paths is not None
        assert [path.name for path in case.mask_paths] == ["rt.dcm"]
        assert case.mask_paths[0].parent.name == "scan 1"


def test_patients_are_told_apart_without_being_named(tree: Path) -> None:
    cases = find_data_set(tree, volumes=True).cases
    groups = {case.patient_id for case in cases}
    assert len(groups) == 2
    assert all(group is not None and group.startswith("patient-") for group in groups)
    assert not any("ANNA" in f"{case.case_id}{case.patient_id}" for case in cases)


def test_the_same_number_from_two_hospitals_is_two_patients(tree: Path, tmp_path: Path) -> None:
    path = next(tree.rglob("000.dcm"))
    header = dcmread(path)
    header.IssuerOfPatientID = "elsewhere"
    header.save_as(tmp_path / "a.dcm")
    assert patient_group(path) != patient_group(tmp_path / "a.dcm")
    header.PatientID = ""
    header.save_as(tmp_path / "b.dcm")
    assert patient_group(tmp_path / "b.dcm") is None


def test_a_mask_that_names_no_series_is_paired_by_its_images(tmp_path: Path) -> None:
    def no_series(header: Dataset) -> None:
        del header.ReferencedFrameOfReferenceSequence

    write_ct(tmp_path / "tree" / "other", name="other")
    series = write_ct(tmp_path / "tree" / "ct", name="ct")
    rois = {"tumour": [square(1, 2.5, 7.5)]}
    write_rtstruct(tmp_path / "tree" / "rt.dcm", series, rois, change=no_series)
    (case,) = by_masks(tmp_path / "tree")[True]
    assert case.image_path.parent.name == "ct"


def test_a_mask_whose_series_is_not_there_is_a_fault(tree: Path) -> None:
    shutil.rmtree(tree / "ANNA^A" / "scan 2")
    with pytest.raises(LayoutError, match=r"rt\.dcm: expected the series"):
        find_data_set(tree, volumes=True)
    faults: list[Fault] = []
    found = find_data_set(tree, volumes=True, on_fault=faults.append)
    assert [fault.code for fault in faults] == ["mask-without-image"]
    assert len(found.cases) == 3


def test_a_broken_mask_file_is_a_fault_of_its_own(tree: Path) -> None:
    path = tree / "ANNA^A" / "scan 1" / "rt.dcm"
    path.write_bytes(path.read_bytes()[:900])
    faults: list[Fault] = []
    find_data_set(tree, volumes=True, on_fault=faults.append)
    assert len(faults) == 1


def test_a_folder_without_ct_says_what_it_holds(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    shutil.copy(tree / "ANNA^A" / "scan 1" / "rt.dcm", tmp_path / "masks" / "rt.dcm")
    with pytest.raises(LayoutError, match="it holds 1 RT Structure Set, and no CT series"):
        find_data_set(tmp_path / "masks", volumes=True)


def test_what_works_on_pictures_refuses_volumes_and_says_why(tree: Path) -> None:
    for find in (find_data_set, find_training_data):
        with pytest.raises(LayoutError, match="CT volumes need a 3D recipe"):
            find(tree)


def test_a_case_is_read_with_its_lesions(tree: Path) -> None:
    files = by_masks(tree)[True][0]
    case = read_volume(files, labels=["tumour"])
    assert case.reference is not None
    assert case.reference.max() == 1
    assert np.count_nonzero(case.reference) == 2 * 25
    assert read_volume(files, labels=["*"]).reference.max() == 2
    with pytest.raises(MaskError, match="several-labels"):
        read_volume(files)


def test_masks_of_two_files_are_lesions_of_one_case(tree: Path) -> None:
    (files, _) = by_masks(tree)[True]
    series_dir = files.image_path.parent
    from breastseg.io.dicom_series import read_series

    mask = np.zeros((5, 14, 12), bool)
    mask[4, 10:12, 3:6] = True
    write_seg(series_dir.parent / "seg.dcm", read_series(series_dir), {"tumour 2": mask})
    again = by_masks(tree)[True]
    (case,) = (case for case in again if case.mask_paths and len(case.mask_paths) == 2)
    reference = read_volume(case, labels=["tumour*"]).reference
    assert reference is not None
    assert np.bincount(reference.ravel())[1:].tolist() == [50, 6]


def test_a_series_without_masks_has_no_reference(tree: Path) -> None:
    assert read_volume(by_masks(tree)[False][0]).reference is None
    with pytest.raises(InputError, match="found a picture"):
        read_volume(CaseFiles(case_id="a", image_path=Path("a.png")))


@pytest.mark.data
def test_the_real_series_are_found(shared_data: Path) -> None:
    found = find_data_set(shared_data / "ct", volumes=True)
    assert len(found.cases) == 5
    assert len({case.patient_id for case in found.cases}) == 4
    (masked,) = (case for case in found.cases if case.mask_paths)
    assert masked.image_path.parent.parent.name == "4d-lung-113_HM10395"
