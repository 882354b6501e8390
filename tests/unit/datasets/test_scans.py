from pathlib import Path

import pytest

from breastseg.core.errors import InputError, LayoutError
from breastseg.datasets.scans import find_scans


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def ids(scans):
    return [case.case_id for case in scans.cases]


@pytest.mark.parametrize(
    ("names", "case_ids"),
    [
        (
            ["benign/benign (1).png", "benign/benign (1)_mask.png", "benign/benign (1)_mask_1.png"],
            ["benign__benign (1)"],
        ),
        (["a.jpg", "a_MASK.png", "a_mask_by_reader_2.png"], ["a"]),
        (["x_mask_y.png", "x_mask_y_mask.png"], ["x_mask_y"]),
        (["Images/bus_01-l.png", "Masks/mask_01-l.png", "bus_data.csv"], ["Images__bus_01-l"]),
        (["bus_01-l.png", "mask_01-l.png"], ["bus_01-l"]),
        (["01.png", "mask_01.png"], ["01"]),
        (["imagesTr/c_0000.png", "labelsTr/c.png", "dataset.json"], ["imagesTr__c_0000"]),
        (["images/a/x.png", "masks/a/x.png"], ["images__a__x"]),
    ],
)
def test_masks_are_not_predicted(tmp_path, names, case_ids):
    scans = find_scans([touch(tmp_path, *names)])
    assert ids(scans) == case_ids
    assert len(scans.masks) == sum("mask" in name.lower() for name in names) - (
        "x_mask_y.png" in names
    ) + ("labelsTr/c.png" in names)


@pytest.mark.parametrize(
    "names",
    [
        ["a_mask.png"],
        ["mask_7.png"],
        ["masks/a.png"],
        ["damask.png", "da.png"],
    ],
)
def test_what_is_only_called_like_a_mask_is_predicted(tmp_path, names):
    scans = find_scans([touch(tmp_path, *names)])
    assert len(scans.cases) == len(names)
    assert scans.masks == ()


def test_the_folder_of_masks_by_itself_holds_nothing_to_predict(tmp_path):
    touch(tmp_path, "Images/bus_1.png", "Masks/mask_1.png")
    with pytest.raises(InputError, match="found none but 1 recognised as masks"):
        find_scans([tmp_path / "Masks"])
    with pytest.raises(InputError, match="found none but 1 recognised as masks"):
        find_scans([tmp_path / "Masks" / "mask_1.png"])


def test_folders_above_the_searched_one_say_nothing(tmp_path):
    touch(tmp_path, "labels/scans/a.png", "images/b.png")
    assert ids(find_scans([tmp_path / "labels" / "scans"])) == ["a"]


def test_a_file_is_named_by_itself_and_counts_once(tmp_path):
    touch(tmp_path, "sub/a.png", "sub/b.png")
    assert ids(find_scans([tmp_path / "sub" / "b.png"])) == ["b"]
    assert ids(find_scans([tmp_path, tmp_path / "sub" / "a.png"])) == ["sub__a", "sub__b"]
    (tmp_path / "link").symlink_to(tmp_path / "sub", target_is_directory=True)
    assert ids(find_scans([tmp_path / "sub", tmp_path / "link"])) == ["a", "b"]


def test_other_files_are_passed_over_in_folders_but_not_when_named(tmp_path):
    touch(tmp_path, "a.png", "notes.txt", ".hidden.png", ".cache/b.png")
    assert ids(find_scans([tmp_path])) == ["a"]
    assert ids(find_scans([tmp_path / "notes.txt"])) == ["notes"]


def test_endings_tell_files_of_one_name_apart(tmp_path):
    assert ids(find_scans([touch(tmp_path, "a.png", "a.jpg")])) == ["a.jpg", "a.png"]


def test_two_images_with_one_case_id_are_refused(tmp_path):
    touch(tmp_path, "one/a.png", "two/a.png")
    with pytest.raises(LayoutError, match=r"case id 'a\.png'"):
        find_scans([tmp_path / "one", tmp_path / "two"])


def test_results_among_the_scans_are_not_scans(tmp_path):
    touch(tmp_path, "a.png", "out/a/mask.png", "out/a/overlay.png", "old/b/mask.png")
    touch(tmp_path, "old/b/overlay.png", "old/b/malignancy.png", "old/b/lesions.json")
    assert ids(find_scans([tmp_path], results_dir=tmp_path / "out")) == ["a"]


def test_results_are_not_written_beside_the_scans(tmp_path):
    touch(tmp_path, "a.png")
    with pytest.raises(InputError, match="must not be written among the scans"):
        find_scans([tmp_path], results_dir=tmp_path)


@pytest.mark.parametrize("paths", [[], ["missing"], ["empty"]])
def test_nothing_to_predict_is_an_error(tmp_path, paths):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="expected"):
        find_scans([tmp_path / Path(path) for path in paths])
