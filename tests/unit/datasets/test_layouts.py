import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from breastseg.core.errors import GeometryError, LayoutError, ReferenceMaskError
from breastseg.core.image import Image
from breastseg.datasets.cases import read_case
from breastseg.datasets.layouts import find_data_set, is_mask_path
from breastseg.io.nifti import write_nifti


def ids(data_set):
    return [case.case_id for case in data_set.cases]


def edit_description(root, **changes):
    path = root / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# --- what is recognised ---------------------------------------------------------------------


@pytest.fixture
def nifti_dir(nnunet_dir):
    """The same data set with volumes of two slices; the second has a lesion of two slices."""
    shutil.rmtree(nnunet_dir / "imagesTr")
    shutil.rmtree(nnunet_dir / "labelsTr")
    for case, value in (("breast_001", 0), ("breast_002", 2)):
        pixels = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
        mask = np.zeros((2, 3, 4), np.float32)
        mask[:, 1, 1:3] = value
        for folder, name, values in (
            ("imagesTr", f"{case}_0000", pixels),
            ("labelsTr", case, mask),
        ):
            (nnunet_dir / folder).mkdir(exist_ok=True)
            volume = Image(pixels=values, affine=np.diag([2.0, 0.5, 0.5, 1.0]))
            write_nifti(nnunet_dir / folder / f"{name}.nii.gz", volume, dtype=np.int16)
    description = json.loads((nnunet_dir / "dataset.json").read_text())
    description["file_ending"] = ".nii.gz"
    (nnunet_dir / "dataset.json").write_text(json.dumps(description))
    return nnunet_dir


def test_nnunet_volumes(nifti_dir):
    data_set = find_data_set(nifti_dir, volumes=True)
    assert ids(data_set) == ["breast_001", "breast_002"]
    first, second = (read_case(files) for files in data_set.cases)
    assert first.reference.max() == 0
    assert second.image.pixels.shape == second.reference.shape == (2, 3, 4)
    # One lesion through both slices, not one in each.
    assert np.unique(second.reference).tolist() == [0, 1]
    assert second.image.spacing_mm == pytest.approx((2, 0.5, 0.5))


def test_volumes_are_no_pictures(nifti_dir):
    with pytest.raises(LayoutError, match=r"found 2 volumes .nnU-Net raw."):
        find_data_set(nifti_dir)


@pytest.mark.parametrize(
    ("shape", "affine", "message"),
    [
        ((2, 3, 4), np.diag([2.0, 0.5, 0.51, 1.0]), "up to 0.03 mm apart"),
        ((2, 4, 3), np.diag([2.0, 0.5, 0.5, 1.0]), r"size of its image .* \(2, 3, 4\)"),
    ],
)
def test_a_volume_and_its_mask_share_a_grid(nifti_dir, shape, affine, message):
    volume = Image(pixels=np.zeros(shape, np.float32), affine=affine)
    write_nifti(nifti_dir / "labelsTr" / "breast_001.nii.gz", volume)
    with pytest.raises(GeometryError, match=message):
        read_case(find_data_set(nifti_dir, volumes=True).cases[0])


def test_busi_has_one_lesion_per_mask_file_and_the_class_of_its_folder(busi_dir):
    data_set = find_data_set(busi_dir)
    assert data_set.layout == "BUSI"
    assert ids(data_set) == [
        "benign__benign (1)",
        "benign__benign (2)",
        "malignant__malignant (1)",
        "normal__normal (1)",
    ]
    assert [case.label for case in data_set.cases] == ["benign", "benign", "malignant", "normal"]
    assert [read_case(case).reference.max() for case in data_set.cases] == [1, 2, 1, 0]
    assert data_set.notes == ()


def test_busi_is_found_from_its_parent(busi_dir):
    assert ids(find_data_set(busi_dir.parent)) == ids(find_data_set(busi_dir))


def test_busi_is_found_from_a_class_folder_with_the_same_ids(busi_dir, monkeypatch):
    assert ids(find_data_set(busi_dir / "malignant")) == ["malignant__malignant (1)"]
    monkeypatch.chdir(busi_dir / "malignant")
    assert ids(find_data_set(Path())) == ["malignant__malignant (1)"]


def test_busi_may_lack_a_class(busi_dir):
    for path in (busi_dir / "normal").iterdir():
        path.unlink()
    (busi_dir / "normal").rmdir()
    assert len(find_data_set(busi_dir).cases) == 3


def test_a_normal_without_a_mask_file_is_a_case_with_an_empty_mask(busi_dir):
    (busi_dir / "normal" / "normal (1)_mask.png").unlink()
    normal = find_data_set(busi_dir).cases[-1]
    assert normal.mask_paths == ()
    assert not read_case(normal).reference.any()


def test_lesion_masks_are_ordered_by_number(busi_dir, write_mask):
    for number in (10, 2):
        write_mask(busi_dir / "benign" / f"benign (1)_mask_{number}.png")
    names = [path.stem for path in find_data_set(busi_dir).cases[0].mask_paths]
    assert names == ["benign (1)_mask", "benign (1)_mask_2", "benign (1)_mask_10"]


def test_busbra_has_patients_labels_and_the_published_folds(busbra_dir):
    data_set = find_data_set(busbra_dir)
    assert data_set.layout == "BUS-BRA"
    assert [(case.case_id, case.patient_id, case.label, case.fold) for case in data_set.cases] == [
        ("bus_0001-l", "1", "malignant", 3),
        ("bus_0001-r", "1", "malignant", 3),
        ("bus_0002-l", "2", "benign", 1),
    ]
    assert data_set.notes == ()
    assert {case.scanner for case in data_set.cases} == {"GE"}


def test_a_bus_bra_without_scanners_names_none(busbra_dir):
    table = busbra_dir / "bus_data.csv"
    table.write_text(table.read_text().replace("Device", "Other"))
    assert {case.scanner for case in find_data_set(busbra_dir).cases} == {None}


def test_busbra_notes_wrong_sizes_and_absent_images_once(busbra_dir):
    table = busbra_dir / "bus_data.csv"
    table.write_text(
        table.read_text().replace(",16,12,", ",99,12,", 2) + "bus_9-l,9,,benign,2,,1,1\n"
    )
    notes = find_data_set(busbra_dir).notes
    assert notes == (
        "1 rows of bus_data.csv have no image (bus_9-l).",
        "2 rows of bus_data.csv give another Width and Height than the image has "
        "(bus_0001-l, bus_0001-r); the image's own size is used.",
    )


def test_busbra_without_folds_is_noted(busbra_dir):
    (busbra_dir / "5-fold-cv.csv").unlink()
    data_set = find_data_set(busbra_dir)
    assert {case.fold for case in data_set.cases} == {None}
    assert data_set.notes == ("There is no 5-fold-cv.csv: the published folds are not known.",)


def test_nnunet_takes_every_label_but_the_background_as_lesion(nnunet_dir):
    data_set = find_data_set(nnunet_dir)
    assert data_set.layout == "nnU-Net raw"
    assert ids(data_set) == ["breast_001", "breast_002"]
    assert [case.lesion_values for case in data_set.cases] == [(1, 2), (1, 2)]
    assert all(np.count_nonzero(read_case(case).reference) == 12 for case in data_set.cases)


def test_nnunet_regions_and_colour_are_read(nnunet_dir):
    edit_description(
        nnunet_dir,
        labels={"background": 0, "whole": [1, 2], "core": [2]},
        channel_names={"0": "R", "1": "G", "2": "B"},
    )
    data_set = find_data_set(nnunet_dir)
    assert data_set.cases[0].lesion_values == (1, 2)
    assert data_set.notes == ("Colour images are read as luminance.",)


def test_image_and_mask_folders_pair_by_stem_over_formats(folder_pairs_dir):
    data_set = find_data_set(folder_pairs_dir)
    assert data_set.layout == "images and masks folders"
    assert ids(data_set) == ["images__a", "images__b"]
    assert [case.mask_paths[0].name for case in data_set.cases] == ["a.png", "b_mask.tif"]


@pytest.mark.parametrize("name", ["Masks", "LABELS"])
def test_image_and_mask_folders_may_be_written_otherwise(folder_pairs_dir, name):
    (folder_pairs_dir / "masks").rename(folder_pairs_dir / name)
    assert len(find_data_set(folder_pairs_dir).cases) == 2


def test_image_and_mask_folders_pair_inside_subfolders(tmp_path, write_picture, write_mask):
    for clinic in ("x", "y"):
        write_picture(tmp_path / "images" / clinic / "a.png")
        write_mask(tmp_path / "masks" / clinic / "a.png")
    data_set = find_data_set(tmp_path)
    assert ids(data_set) == ["images__x__a", "images__y__a"]
    assert [case.mask_paths[0].parent.name for case in data_set.cases] == ["x", "y"]


def test_pairs_side_by_side_are_found_in_subfolders(suffix_pairs_dir):
    data_set = find_data_set(suffix_pairs_dir)
    assert data_set.layout == "x.png with x_mask.png"
    assert ids(data_set) == ["a", "clinic__b"]
    assert [case.lesion_per_file for case in data_set.cases] == [False, False]


def test_a_mask_that_two_images_could_own_is_refused(folder_pairs_dir, write_picture, write_mask):
    write_picture(folder_pairs_dir / "images" / "c.png")
    write_picture(folder_pairs_dir / "images" / "c.bmp")
    write_mask(folder_pairs_dir / "masks" / "c.png")
    with pytest.raises(LayoutError, match=r"masks/c\.png.*one image.*c\.bmp, c\.png.*Rename"):
        find_data_set(folder_pairs_dir)


def test_what_is_no_picture_is_left_out_and_counted_where_it_is_strange(suffix_pairs_dir):
    for name in (".hidden.png", "Thumbs.db", "notes.txt", "scan.dcm", "clinic/scan.DCM", "raw"):
        (suffix_pairs_dir / name).write_bytes(b"x")
    (suffix_pairs_dir / ".cache").mkdir()
    (suffix_pairs_dir / ".cache" / "a.png").write_bytes(b"x")
    data_set = find_data_set(suffix_pairs_dir)
    assert ids(data_set) == ["a", "clinic__b"]
    assert data_set.notes == (
        "3 files are no pictures and were left out: 2 with .dcm, 1 with no ending.",
    )


# --- what is refused ------------------------------------------------------------------------


def test_a_missing_folder_a_file_and_an_empty_folder_have_their_own_errors(tmp_path):
    with pytest.raises(LayoutError, match=r"nothing: .* there is no such folder"):
        find_data_set(tmp_path / "nothing")
    (tmp_path / "file.png").write_bytes(b"x")
    with pytest.raises(LayoutError, match=r"file\.png: .* found a file"):
        find_data_set(tmp_path / "file.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LayoutError, match=r"empty: .* the folder is empty"):
        find_data_set(tmp_path / "empty")


def test_an_unknown_folder_is_told_why_each_layout_did_not_fit(tmp_path, write_picture):
    write_picture(tmp_path / "images" / "a.png")
    with pytest.raises(LayoutError) as caught:
        find_data_set(tmp_path)
    lines = str(caught.value).splitlines()
    assert [line.rpartition(": ")[2] for line in lines[1:-1]] == [
        "there is no dataset.json",
        "there is no bus_data.csv",
        "no folder is called benign, malignant or normal",
        "no folder is called masks or labels",
        "no picture such as a_mask.png lies in it",
        "it holds no DICOM file, and no CT series",
    ]


def test_class_folders_without_masks_are_no_busi(tmp_path, write_picture):
    write_picture(tmp_path / "benign" / "a.png")
    with pytest.raises(LayoutError, match=r"BUSI .*no picture in benign/ is called like a mask"):
        find_data_set(tmp_path)


@pytest.mark.parametrize("name", ["busi_dir", "folder_pairs_dir", "suffix_pairs_dir"])
def test_a_mask_without_an_image_is_named(name, request):
    root = request.getfixturevalue(name)
    image = sorted(path for path in root.rglob("[ab]*.*") if not is_mask_path(path))[0]
    image.unlink()
    message = rf"{re.escape(image.stem)}(_mask)?\.png: expected an image for this mask, found none"
    with pytest.raises(LayoutError, match=message):
        find_data_set(root)


@pytest.mark.parametrize(
    ("name", "mask", "image"),
    [
        ("busi_dir", "malignant/malignant (1)_mask.png", "malignant (1).png"),
        ("busbra_dir", "Masks/mask_0002-l.png", "bus_0002-l.png"),
        ("nnunet_dir", "labelsTr/breast_002.png", "breast_002_0000.png"),
        ("folder_pairs_dir", "masks/b_mask.tif", "b.bmp"),
        ("suffix_pairs_dir", "a_mask.png", "a.png"),
    ],
)
def test_an_image_without_a_mask_is_named(name, mask, image, request):
    root = request.getfixturevalue(name)
    (root / mask).unlink()
    with pytest.raises(ReferenceMaskError, match=rf"{re.escape(image)}: expected a mask .*Add it"):
        find_data_set(root)


@pytest.mark.parametrize(
    ("name", "mask"),
    [("folder_pairs_dir", "masks/a_mask.png"), ("suffix_pairs_dir", "a_mask_1.png")],
)
def test_two_masks_of_one_image_are_refused_in_plain_pairs(name, mask, request, write_mask):
    root = request.getfixturevalue(name)
    write_mask(root / mask)
    with pytest.raises(ReferenceMaskError, match=r"a\.png: expected one mask .* found 2: a.*Merge"):
        find_data_set(root)


def test_masks_and_labels_at_once_are_refused(folder_pairs_dir, write_mask):
    write_mask(folder_pairs_dir / "labels" / "a.png")
    with pytest.raises(LayoutError, match=r"one folder of masks, found masks/ and labels/"):
        find_data_set(folder_pairs_dir)


def test_a_busbra_image_without_a_patient_is_refused(busbra_dir, write_picture, write_mask):
    write_picture(busbra_dir / "Images" / "bus_0099-l.png")
    write_mask(busbra_dir / "Masks" / "mask_0099-l.png")
    with pytest.raises(LayoutError, match=r"bus_0099-l\.png: expected a row .*split could leak"):
        find_data_set(busbra_dir)


@pytest.mark.parametrize(
    ("table", "old", "new", "message"),
    [
        (
            "bus_data.csv",
            "Case",
            "Patient",
            r"bus_data\.csv: expected the columns .*found ID, Patient",
        ),
        ("bus_data.csv", "bus_0001-r", "bus_0001-l", r"one row per image, found two of bus_0001-l"),
        ("5-fold-cv.csv", "benign,1,1", "benign,NaN,1", r"bus_0002-l.*column kFold.*found 'NaN'"),
        ("5-fold-cv.csv", "bus_0002-l", "bus_7", r"bus_0002-l.*column kFold.*found ''"),
    ],
)
def test_broken_busbra_tables_are_refused(busbra_dir, table, old, new, message):
    path = busbra_dir / table
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(LayoutError, match=message):
        find_data_set(busbra_dir)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"file_ending": ".nrrd"}, r"file_ending must be one of .*\.nii\.gz, found '\.nrrd'"),
        ({"file_ending": ".webp"}, r"file_ending must be one of \.png.*found '\.webp'"),
        ({"file_ending": None}, r"convert the data set to version 2"),
        ({"labels": {"background": 0, "lesion": 1, "ignore": 2}}, r"label 'ignore' \(2\)"),
        ({"labels": {"0": "background", "1": "lesion"}}, r"labels must be names with their"),
        ({"labels": {"background": 0}}, r"labels must name a lesion"),
        ({"labels": {"background": 0, "lesion": "1"}}, r"label values must be integers"),
        ({"channel_names": {"0": "B-mode", "1": "Doppler"}}, r"must name one channel"),
    ],
)
def test_nnunet_descriptions_that_cannot_be_followed_are_refused(nnunet_dir, changes, message):
    edit_description(nnunet_dir, **changes)
    with pytest.raises(LayoutError, match=message) as caught:
        find_data_set(nnunet_dir)
    assert str(nnunet_dir / "dataset.json") in str(caught.value)


def test_nnunet_files_must_follow_the_naming(nnunet_dir, write_picture):
    second = write_picture(nnunet_dir / "imagesTr" / "breast_001_0001.png")
    with pytest.raises(LayoutError, match=r"one file per case .* found channel _0001"):
        find_data_set(nnunet_dir)
    second.rename(second.with_name("breast.png"))
    with pytest.raises(LayoutError, match=r"expected a name such as breast_0000\.png"):
        find_data_set(nnunet_dir)
    second.with_name("breast.png").rename(second.with_name("breast_001_0000.bmp"))
    with pytest.raises(LayoutError, match=r"\.bmp: expected a picture with the file_ending \.png"):
        find_data_set(nnunet_dir)


def test_a_broken_dataset_json_is_told(nnunet_dir):
    (nnunet_dir / "dataset.json").write_text("{")
    with pytest.raises(LayoutError, match=r"dataset\.json: expected a JSON document, but"):
        find_data_set(nnunet_dir)


def test_same_case_id_from_two_files_is_refused(suffix_pairs_dir, write_picture):
    write_picture(suffix_pairs_dir / "clinic__b.jpg")
    write_picture(suffix_pairs_dir / "clinic__b_mask.png")
    with pytest.raises(LayoutError, match=r"case id 'clinic__b\.jpg' must belong to one image"):
        find_data_set(suffix_pairs_dir)


# --- masks among pictures -------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["busi_dir", "busbra_dir", "nnunet_dir", "folder_pairs_dir", "suffix_pairs_dir"],
)
def test_masks_are_told_from_images_by_name_and_neighbours(name, request):
    root = request.getfixturevalue(name)
    cases = find_data_set(root).cases
    assert not any(is_mask_path(case.image_path) for case in cases)
    assert all(is_mask_path(path) for case in cases for path in case.mask_paths)


def test_a_picture_called_like_a_mask_without_its_image_is_no_mask(tmp_path, write_picture):
    assert not is_mask_path(write_picture(tmp_path / "face_mask.png"))
    assert not is_mask_path(write_picture(tmp_path / "masks" / "a.png"))
    assert not is_mask_path(write_picture(tmp_path / "images" / "masks" / "a.png"))
    assert not is_mask_path(write_picture(tmp_path / "labels" / "images" / "a.png"))


# --- the published sets ---------------------------------------------------------------------


@pytest.mark.data
def test_the_published_busi(shared_data):
    data_set = find_data_set(shared_data / "Dataset_BUSI_with_GT")
    labels = [case.label for case in data_set.cases]
    assert {label: labels.count(label) for label in labels} == {
        "benign": 437,
        "malignant": 210,
        "normal": 133,
    }
    assert sum(len(case.mask_paths) > 1 for case in data_set.cases) == 17


@pytest.mark.data
def test_the_published_busbra(shared_data):
    data_set = find_data_set(shared_data / "BUSBRA")
    assert len(data_set.cases) == 1492
    folds_of = {}
    for case in data_set.cases:
        folds_of.setdefault(case.patient_id, set()).add(case.fold)
    assert all(len(folds) == 1 for folds in folds_of.values())
    assert len(data_set.notes) == 1
    assert "3 rows of bus_data.csv give another Width and Height" in data_set.notes[0]
