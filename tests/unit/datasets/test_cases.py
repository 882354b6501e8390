from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from breastseg.core.errors import GeometryError, ImageFileError, LayoutError, ReferenceMaskError
from breastseg.datasets.cases import CaseFiles, DataSet, case_id_of, read_case, with_unique_ids


@pytest.fixture
def case_files(tmp_path, write_picture, write_mask):
    """One image of 12 x 16 pixels with two masks that overlap: 12 pixels each, 4 in both."""
    return CaseFiles(
        case_id="a",
        image_path=write_picture(tmp_path / "a.png"),
        mask_paths=(
            write_mask(tmp_path / "a_mask.png", row=2),
            write_mask(tmp_path / "a_mask_1.png", row=4),
        ),
    )


def test_connected_parts_are_lesions(case_files, write_mask):
    assert read_case(case_files).reference.max() == 1
    write_mask(case_files.mask_paths[1], row=8)
    case = read_case(case_files)
    assert case.reference.dtype == np.int32
    assert np.unique(case.reference).tolist() == [0, 1, 2]


def test_parts_that_touch_at_a_corner_are_one_lesion(case_files, write_picture):
    mask = np.zeros((12, 16), np.uint8)
    mask[2, 2] = mask[3, 3] = 255
    write_picture(case_files.mask_paths[0], mask)
    assert read_case(replace(case_files, mask_paths=case_files.mask_paths[:1])).reference.max() == 1


def test_each_file_is_a_lesion_where_the_data_set_says_so(case_files, write_picture):
    small = np.zeros((12, 16), np.uint8)
    small[3, 5] = 255  # inside the first lesion
    write_picture(case_files.mask_paths[1], small)
    reference = read_case(replace(case_files, lesion_per_file=True)).reference
    assert np.bincount(reference.ravel()).tolist() == [12 * 16 - 12, 11, 1]


def test_no_mask_files_say_that_there_is_no_lesion(case_files):
    assert not read_case(replace(case_files, mask_paths=())).reference.any()
    assert read_case(replace(case_files, mask_paths=None)).reference is None


def test_the_values_of_a_data_set_are_lesions(case_files, write_mask):
    path = write_mask(case_files.mask_paths[0], value=3)
    files = replace(case_files, mask_paths=(path,), lesion_values=(3,))
    assert np.count_nonzero(read_case(files).reference) == 12
    with pytest.raises(ReferenceMaskError, match=r"a_mask\.png: .*found 0, 3"):
        read_case(replace(files, lesion_values=(1,)))


def test_a_mask_of_another_size_is_told_with_both_files(case_files, write_picture):
    write_picture(case_files.mask_paths[1], np.zeros((11, 16), np.uint8))
    message = r"a_mask_1\.png: .* image a\.png, \(12, 16\) \(rows, columns\), got \(11, 16\)\. Exp"
    with pytest.raises(GeometryError, match=message):
        read_case(case_files)


def test_a_damaged_image_or_mask_is_named(case_files):
    case_files.mask_paths[0].write_bytes(b"")
    with pytest.raises(ImageFileError, match=r"a_mask\.png: .* empty"):
        read_case(case_files)
    case_files.image_path.unlink()
    with pytest.raises(ImageFileError, match=r"a\.png: .* no such file"):
        read_case(case_files)


def test_case_ids_are_paths_without_their_ending():
    root = Path("data")
    assert case_id_of(root / "a.png", root) == "a"
    assert case_id_of(root / "benign" / "a.b (1).png", root) == "benign__a.b (1)"


def files_of(*paths, root=Path("data")):
    return [CaseFiles(case_id=case_id_of(root / p, root), image_path=root / p) for p in paths]


def test_ids_that_collide_keep_their_endings_and_all_are_sorted():
    cases = with_unique_ids(files_of("b.png", "a.png", "b.bmp"), Path("data"))
    assert [case.case_id for case in cases] == ["a", "b.bmp", "b.png"]


def test_duplicate_case_ids_are_refused():
    with pytest.raises(LayoutError, match=r"case id 'x__a\.png' must belong to one image.*Rename"):
        with_unique_ids(files_of("x/a.png", "x__a.png"), Path("data"))


def test_only_keeps_the_order_of_the_data_set():
    data_set = DataSet(layout="", root=Path(), cases=tuple(files_of("a.png", "b.png", "c.png")))
    assert [case.case_id for case in data_set.only(["c", "a", "nothing"])] == ["a", "c"]
