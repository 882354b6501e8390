"""DICOM studies as a data set: which mask belongs to which series."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from breastseg.core.errors import LayoutError
from breastseg.core.mask_faults import MaskError
from breastseg.core.series import Series
from breastseg.datasets.cases import CaseFiles, read_case
from breastseg.datasets.checked import find_training_data
from breastseg.datasets.dicom_tree import patient_group
from breastseg.datasets.faults import Fault
from breastseg.datasets.layouts import find_data_set
from breastseg.io.dicom_series import read_series
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


def state_lesions(tree: Path, **stated: list[str]) -> None:
    (tree / "lesions.json").write_text(json.dumps(stated))


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
        with pytest.raises(LayoutError, match=r"found 4 volumes .*need a recipe for volumes"):
            find(tree)


def test_a_case_is_read_with_its_lesions(tree: Path) -> None:
    files = by_masks(tree)[True][0]
    case = read_case(replace(files, lesion_structures=("tumour",)))
    assert case.reference is not None
    assert case.reference.max() == 1
    assert np.count_nonzero(case.reference) == 2 * 25
    both = read_case(replace(files, lesion_structures=("*",))).reference
    assert both is not None
    assert both.max() == 2
    with pytest.raises(MaskError, match="several-labels"):
        read_case(files)


def add_seg(tree: Path, files: CaseFiles, *names: str) -> CaseFiles:
    """Draw structures of 6 voxels on a series that has contours, and find it again."""
    masks = {}
    for place, name in enumerate(names):
        masks[name] = np.zeros((5, 14, 12), bool)
        masks[name][4, 10:12, 6 * place : 6 * place + 3] = True
    series_dir = files.image_path.parent
    write_seg(series_dir.parent / "seg.dcm", read_series(series_dir), masks)
    again = by_masks(tree)[True]
    (case,) = (case for case in again if case.mask_paths and len(case.mask_paths) == 2)
    return case


def test_masks_of_two_files_are_lesions_of_one_case(tree: Path) -> None:
    case = add_seg(tree, by_masks(tree)[True][0], "tumour 2")
    reference = read_case(replace(case, lesion_structures=("tumour*",))).reference
    assert reference is not None
    assert np.bincount(reference.ravel())[1:].tolist() == [50, 6]


def test_lesions_json_says_which_structures_are_lesions(tree: Path) -> None:
    state_lesions(tree, structures=["GTV*"])
    files = by_masks(tree)[True][0]
    with pytest.raises(MaskError, match="no-such-label"):
        read_case(files)
    # One file with such a structure is enough; the other one holds organs.
    reference = read_case(add_seg(tree, files, "gtv 1", "gtv 2")).reference
    assert reference is not None
    assert np.bincount(reference.ravel())[1:].tolist() == [6, 6]


def test_structures_that_are_coded_as_abnormal_need_no_choice(tree: Path) -> None:
    case = add_seg(tree, by_masks(tree)[True][0], "one", "two")
    assert case.mask_paths is not None
    seg = tuple(path for path in case.mask_paths if path.name == "seg.dcm")
    reference = read_case(replace(case, mask_paths=seg)).reference
    assert reference is not None
    assert reference.max() == 2


def test_a_scan_without_a_mask_is_lesion_free_only_where_that_is_said(tree: Path) -> None:
    (first, second) = by_masks(tree)[False]
    assert read_case(first).reference is None
    with pytest.raises(LayoutError, match=f"2 have none, such as '{first.case_id}'.* lesions.json"):
        find_training_data(tree, volumes=True)
    folder = second.image_path.parent.relative_to(tree).as_posix()
    state_lesions(tree, structures=["tumour"], lesion_free=[first.case_id, f"{folder}/"])
    found = find_training_data(tree, volumes=True)
    lesions = [
        0 if (read := read_case(each).reference) is None else read.max() for each in found.cases
    ]
    assert sorted(lesions) == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "document", ['["*tumor*"]', '{"structures": "*tumor*"}', '{"lesions": []}', "{"]
)
def test_a_broken_lesions_json_is_refused(tree: Path, document: str) -> None:
    (tree / "lesions.json").write_text(document)
    with pytest.raises(LayoutError, match=r"lesions\.json: expected"):
        find_data_set(tree, volumes=True)


@pytest.mark.data
def test_the_real_series_are_found(shared_data: Path) -> None:
    found = find_data_set(shared_data / "ct", volumes=True)
    assert len(found.cases) == 5
    assert len({case.patient_id for case in found.cases}) == 4
    (masked,) = (case for case in found.cases if case.mask_paths)
    assert masked.image_path.parent.parent.name == "4d-lung-113_HM10395"
