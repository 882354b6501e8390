import json

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from breastseg.core.errors import ImageFileError
from breastseg.datasets import near_duplicates
from breastseg.datasets.cases import CaseFiles
from breastseg.datasets.layouts import find_data_set
from breastseg.datasets.near_duplicates import group_sizes, near_duplicate_groups
from breastseg.io.raster import read_luminance


@pytest.fixture(scope="module")
def pictures(phantom_data):
    """Return the pixels of four phantoms."""
    return [
        read_luminance(case.image_path).astype(np.uint8)
        for case in find_data_set(phantom_data).cases[:4]
    ]


@pytest.fixture
def groups_of(tmp_path):
    """Return a function that groups pictures, given as name=pixels."""

    def group(suffix=".png", **pixels):
        cases = []
        for name, array in pixels.items():
            path = tmp_path / f"{name}{suffix}"
            Pillow.fromarray(array).save(path, **({"quality": 40} if suffix == ".jpg" else {}))
            cases.append(CaseFiles(case_id=name, image_path=path))
        return near_duplicate_groups(cases)

    return group


def resized(pixels):
    return cv2.resize(pixels, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)


def with_calipers(pixels):
    marked = pixels.copy()
    for row, column in ((60, 80), (110, 150), (90, 60), (85, 170)):
        marked[row - 4 : row + 5, column] = 255
        marked[row, column - 4 : column + 5] = 255
    return marked


def sixteen_bit(pixels):
    return pixels.astype(np.uint16) * 257


def cropped(pixels, top, bottom, left, right):
    rows, columns = pixels.shape
    return pixels[
        round(rows * top) : rows - round(rows * bottom),
        round(columns * left) : columns - round(columns * right),
    ]


CHANGES = {
    "copied": lambda pixels: pixels,
    "mirrored": np.fliplr,
    "resized": resized,
    "stretched": lambda pixels: cv2.resize(pixels, (300, 200), interpolation=cv2.INTER_AREA),
    "brightened": lambda pixels: np.clip(pixels * 1.3 + 10, 0, 255).astype(np.uint8),
    "marked with calipers": with_calipers,
    "of 16 bit": sixteen_bit,
    "cropped by a little": lambda pixels: pixels[3:-3, 3:-3],
    "cropped by a twentieth on all sides": lambda pixels: cropped(pixels, 0.05, 0.05, 0.05, 0.05),
    "cropped by a twentieth on top": lambda pixels: cropped(pixels, 0.05, 0, 0, 0),
    "cropped by a twentieth of a corner": lambda pixels: cropped(pixels, 0, 0.05, 0.05, 0),
    "darkened": lambda pixels: (pixels * 0.6).astype(np.uint8),
    "of another gamma": lambda pixels: (255 * (pixels / 255) ** 0.8).astype(np.uint8),
    "mirrored and resized": lambda pixels: resized(np.fliplr(pixels)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_changed_copy_is_found(change, pictures, groups_of):
    for number, pixels in enumerate(pictures):
        changed = np.ascontiguousarray(change(pixels))
        groups = groups_of(**{f"first{number}": pixels, f"second{number}": changed})
        assert len(set(groups.values())) == 1, number


def test_a_recompressed_copy_is_found(pictures, groups_of, tmp_path):
    groups_of(".jpg", copy=pictures[0])
    groups_of(".png", original=pictures[0])
    cases = [
        CaseFiles(case_id=path.stem, image_path=path)
        for path in (tmp_path / "original.png", tmp_path / "copy.jpg")
    ]
    assert near_duplicate_groups(cases) == {"original": "original", "copy": "original"}


def test_unrelated_phantoms_are_not_grouped(phantom_data):
    cases = find_data_set(phantom_data).cases
    groups = near_duplicate_groups(cases)
    assert groups == {case.case_id: case.case_id for case in cases}


def test_pictures_of_noise_are_not_grouped(groups_of):
    stream = np.random.default_rng(0)
    noise = {f"n{i}": stream.integers(0, 256, (80, 100), dtype=np.uint8) for i in range(20)}
    assert len(set(groups_of(**noise).values())) == 20


def test_what_resembles_a_common_third_is_one_group_with_the_id_of_its_first(groups_of, pictures):
    """A and C need not resemble each other: B holds them together."""
    first, other = pictures[:2]
    groups = groups_of(a=first, x=other, b=np.fliplr(first), c=resized(np.fliplr(first)))
    assert groups == {"a": "a", "x": "x", "b": "a", "c": "a"}
    assert group_sizes(groups) == {"a": 3, "x": 1}


def test_grouping_does_not_depend_on_the_order_of_the_cases(phantom_data, pictures, groups_of):
    pixels = {f"p{number}": array for number, array in enumerate(pictures)}
    pixels["copy"] = np.fliplr(pictures[2])

    def sets(groups):
        return {frozenset(c for c in groups if groups[c] == group) for group in groups.values()}

    forwards = sets(groups_of(**pixels))
    backwards = sets(groups_of(**dict(reversed(pixels.items()))))
    assert forwards == backwards
    assert frozenset({"p2", "copy"}) in forwards


def test_grouping_does_not_depend_on_the_blocks_it_is_computed_in(pictures, groups_of, monkeypatch):
    pixels = {f"p{number}": array for number, array in enumerate(pictures)}
    pixels["copy"] = np.fliplr(pictures[3])
    monkeypatch.setattr(near_duplicates, "_ROWS", 2)
    monkeypatch.setattr(near_duplicates, "_COLUMNS", 4)
    monkeypatch.setattr(near_duplicates, "_CHUNK", 1)
    groups = groups_of(**pixels)
    assert groups == {name: name for name in pixels} | {"copy": "p3"}


@pytest.mark.parametrize("value", [0, 255])
def test_pictures_without_any_detail_are_no_duplicates_of_pictures_with(value, groups_of, pictures):
    groups = groups_of(flat=np.full((40, 50), value, np.uint8), detailed=pictures[0])
    assert len(set(groups.values())) == 2


def test_progress_counts_the_pictures_and_no_picture_is_no_group(phantom_data):
    told = []
    near_duplicate_groups(find_data_set(phantom_data).cases[:3], progress=told.append)
    assert told == [1, 2, 3]
    assert near_duplicate_groups([]) == {}


def test_a_broken_picture_is_told_by_its_name(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ImageFileError, match=r"broken\.png"):
        near_duplicate_groups([CaseFiles(case_id="broken", image_path=tmp_path / "broken.png")])


# --- the cache ---------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Return the folder of a cache that is switched on."""
    monkeypatch.setenv("BREASTSEG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def reads(monkeypatch):
    """Return a list of the pictures that were read for their signature."""
    read = []

    def reading(path):
        read.append(path)
        return read_luminance(path)

    monkeypatch.setattr(near_duplicates, "read_luminance", reading)
    return read


def test_groups_are_taken_from_the_cache_whatever_the_files_are_called(
    pictures, groups_of, cache, reads
):
    copies = {"a": pictures[0], "b": pictures[1], "c": np.fliplr(pictures[0])}
    assert groups_of(**copies) == {"a": "a", "b": "b", "c": "a"}
    assert len(reads) == 3
    renamed = {"z": pictures[0], "y": pictures[1], "x": np.fliplr(pictures[0])}
    assert groups_of(**renamed) == {"z": "z", "y": "y", "x": "z"}
    assert len(reads) == 3


def test_other_contents_are_read_anew(pictures, groups_of, cache, reads):
    groups_of(a=pictures[0], b=pictures[1])
    groups_of(a=pictures[0], b=pictures[2])
    assert len(reads) == 4


def test_the_cache_holds_numbers_and_a_checksum_alone(pictures, groups_of, cache):
    groups_of(secret_name=pictures[0], other=pictures[1])
    (path,) = cache.rglob("*.json")
    document = json.loads(path.read_text())
    assert document.keys() == {"sha256", "content"}
    assert sorted(document["content"]) == [0, 1]
    assert "secret_name" not in path.name


def truncate(path):
    path.write_bytes(path.read_bytes()[:20])


def change_a_number(path):
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "content": [*document["content"][::-1], 0]}))


@pytest.mark.parametrize(
    "damage",
    [truncate, change_a_number, lambda path: path.write_text("[]"), lambda path: path.unlink()],
)
def test_a_damaged_cache_is_ignored(damage, pictures, groups_of, cache, reads):
    copies = {"a": pictures[0], "b": pictures[1], "c": np.fliplr(pictures[1])}
    before = groups_of(**copies)
    (path,) = cache.rglob("*.json")
    damage(path)
    assert groups_of(**copies) == before
    assert len(reads) == 6
    assert groups_of(**copies) == before
    assert len(reads) == 6


def test_a_damaged_cache_is_told_of_in_the_log(pictures, groups_of, cache, caplog):
    groups_of(a=pictures[0], b=pictures[1])
    (path,) = cache.rglob("*.json")
    truncate(path)
    with caplog.at_level("INFO", logger="breastseg"):
        groups_of(a=pictures[0], b=pictures[1])
    assert f"{path}: this file of the cache is damaged" in caplog.text


@pytest.mark.parametrize("value", ["off", "OFF", ""])
def test_the_cache_can_be_switched_off(value, pictures, groups_of, monkeypatch, reads, tmp_path):
    monkeypatch.setenv("BREASTSEG_CACHE", value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    for _ in range(2):
        groups_of(a=pictures[0], b=pictures[1])
    assert len(reads) == 4
    assert not (tmp_path / "xdg").exists()


def test_a_cache_that_cannot_be_written_stops_nothing(pictures, groups_of, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("BREASTSEG_CACHE", str(tmp_path / "file" / "cache"))
    assert groups_of(a=pictures[0], b=pictures[0]) == {"a": "a", "b": "a"}


# --- on real scans ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def busi_groups(shared_data):
    return near_duplicate_groups(find_data_set(shared_data / "Dataset_BUSI_with_GT").cases)


@pytest.mark.data
def test_about_four_in_ten_images_of_busi_share_a_group(busi_groups):
    sizes = group_sizes(busi_groups)
    sharing = sum(size for size in sizes.values() if size > 1)
    assert len(busi_groups) == 780
    assert 0.35 < sharing / 780 < 0.55
    assert len(sizes) == 572
    assert max(sizes.values()) < 20


@pytest.mark.data
@pytest.mark.parametrize(
    ("case", "other"),
    [
        ("benign__benign (1)", "benign__benign (318)"),
        ("benign__benign (11)", "benign__benign (328)"),
        ("benign__benign (128)", "benign__benign (30)"),
        ("benign__benign (433)", "malignant__malignant (145)"),
        ("normal__normal (51)", "normal__normal (54)"),
        ("malignant__malignant (3)", "malignant__malignant (9)"),
    ],
)
def test_known_pairs_of_busi_are_found_even_across_classes(case, other, busi_groups):
    assert busi_groups[case] == busi_groups[other]
