"""Every kind of finding, on synthetic data that has just that fault and on data without it."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from breastseg.core.errors import InputError, LayoutError
from breastseg.datasets.inspection.findings import KINDS, Severity
from breastseg.datasets.inspection.inspection import inspect_data
from breastseg.workflows.phantom import make_ultrasound_phantoms

NUM_PHANTOMS = 30


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Return 30 phantoms, to be copied before they are changed."""
    folder = tmp_path_factory.mktemp("clean") / "data"
    return make_ultrasound_phantoms(folder, num_cases=NUM_PHANTOMS, seed=3)


@pytest.fixture
def data(clean, tmp_path):
    """Return a copy of the phantoms that a test may damage."""
    target = tmp_path / "data"
    for path in clean.rglob("*.png"):
        copy = target / path.relative_to(clean)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    return target


def inspected(root):
    return inspect_data(root, lambda what, done, total: None)


def found(root, code):
    return [finding for finding in inspected(root).findings if finding.code == code]


def benign(data: Path, index: int = 0) -> Path:
    return sorted((data / "benign").glob("*).png"))[index]


def mask_of(image: Path) -> Path:
    return image.with_name(f"{image.stem}_mask.png")


def pixels_of(path: Path) -> np.ndarray:
    with Pillow.open(path) as picture:
        return np.asarray(picture).copy()


def save(path: Path, pixels: np.ndarray, **options) -> None:
    Pillow.fromarray(pixels).save(path, **options)


def test_clean_phantoms_have_nothing_that_spoils(clean):
    inspection = inspected(clean)
    codes = {finding.code for finding in inspection.findings}
    assert not inspection.spoils
    assert codes <= {"no-patients", "mask-border", "few-cases", "mask-parts"}


# --- one image: what is changed, and what must be found ----------------------------------------


def truncated(data):
    image = benign(data)
    image.write_bytes(image.read_bytes()[:400])


def blank(data):
    image = benign(data)
    save(image, np.full_like(pixels_of(image), 7))


def without_mask(data):
    mask_of(benign(data)).unlink()


def mask_alone(data):
    benign(data).unlink()


def text_for_mask(data):
    mask_of(benign(data)).write_text("no picture")


def jpeg_for_mask(data):
    mask = mask_of(benign(data))
    grey = pixels_of(mask)
    mask.unlink()
    save(mask.with_suffix(".jpg"), grey, quality=60)


def mask_of_another_size(data):
    mask = mask_of(benign(data))
    save(mask, pixels_of(mask)[1:])


def empty_mask_of_a_lesion(data):
    mask = mask_of(benign(data))
    save(mask, np.zeros_like(pixels_of(mask)))


def normal_with_a_lesion(data):
    image = sorted((data / "normal").glob("*).png"))[0]
    rows, columns = pixels_of(image).shape
    mask = np.zeros((rows, columns), np.uint8)
    mask[30:60, 40:90] = 255
    save(mask_of(image), mask)


def drawn(data, draw):
    mask = mask_of(benign(data))
    pixels = np.zeros_like(pixels_of(mask))
    draw(pixels)
    save(mask, pixels)


def tiny(data):
    drawn(data, lambda mask: mask.__setitem__((slice(50, 52), slice(50, 53)), 255))


def huge(data):
    drawn(data, lambda mask: mask.__setitem__((slice(4, -4), slice(4, -4)), 255))


def outline(data):
    drawn(data, lambda mask: cv2.circle(mask, (90, 70), 25, 255, 2))


def speck(data):
    def draw(mask):
        cv2.circle(mask, (90, 70), 25, 255, -1)
        mask[10:12, 10:12] = 255

    drawn(data, draw)


def two_parts(data):
    def draw(mask):
        cv2.circle(mask, (60, 70), 15, 255, -1)
        cv2.circle(mask, (130, 70), 15, 255, -1)

    drawn(data, draw)


def at_the_border(data):
    drawn(data, lambda mask: cv2.circle(mask, (0, 70), 25, 255, -1))


def crossed(grey, centres, arm=6, value=255):
    for row, column in centres:
        grey[row - arm : row + arm + 1, column - 1 : column + 1] = value
        grey[row - 1 : row + 1, column - arm : column + arm + 1] = value
    return grey


def with_calipers(data):
    image = benign(data)
    save(image, crossed(pixels_of(image), [(50, 60), (90, 140)]))


def with_text(data):
    image = benign(data)
    grey = pixels_of(image)
    cv2.putText(grey, "LT BREAST", (20, 130), cv2.FONT_HERSHEY_SIMPLEX, 0.45, 255, 1, cv2.LINE_AA)
    save(image, grey)


def coloured(image):
    return cv2.cvtColor(pixels_of(image), cv2.COLOR_GRAY2RGB)


def with_colour(data):
    image = benign(data)
    colours = coloured(image)
    colours[20:24, 20:40] = (255, 255, 0)
    save(image, colours)


def with_flow(data):
    image = benign(data)
    colours = coloured(image)
    cv2.circle(colours, (80, 80), 8, (230, 40, 20), -1)
    save(image, colours)


def with_a_colour_box(data):
    image = benign(data)
    colours = coloured(image)
    cv2.rectangle(colours, (40, 30), (140, 110), (90, 110, 60), 1)
    save(image, colours)


def small(data):
    for path in (benign(data), mask_of(benign(data))):
        save(path, cv2.resize(pixels_of(path), (40, 30), interpolation=cv2.INTER_NEAREST))


def dark(data):
    image = benign(data)
    save(image, (pixels_of(image) * 0.02).astype(np.uint8))


def flat(data):
    image = benign(data)
    save(image, (120 + pixels_of(image) * 0.02).astype(np.uint8))


def noisy(data):
    image = benign(data)
    noise = np.random.default_rng(0).integers(0, 256, pixels_of(image).shape)
    save(image, noise.astype(np.uint8))


def sixteen_bit(data):
    image = benign(data)
    save(image, pixels_of(image).astype(np.uint16) * 257)


def copied_to_malignant(data):
    image, other = benign(data), sorted((data / "malignant").glob("*).png"))[0]
    other.write_bytes(image.read_bytes())
    mask_of(other).write_bytes(mask_of(image).read_bytes())


def mirrored_with_another_mask(data):
    image, other = benign(data, 0), benign(data, 1)
    for path in (*other.parent.glob(f"{other.stem}_mask*"), *image.parent.glob("*_mask_1.png")):
        path.unlink()
    save(other, np.ascontiguousarray(np.fliplr(pixels_of(image))))
    mask = np.zeros_like(pixels_of(image))
    cv2.circle(mask, (90, 60), 30, 255, -1)
    save(mask_of(image), mask)
    # Not mirrored with the picture, and far from where it would be.
    mask = np.zeros_like(mask)
    mask[-40:-20, 20:60] = 255
    save(mask_of(other), mask)


CHANGES = {
    truncated: "image-unreadable",
    blank: "image-blank",
    without_mask: "mask-missing",
    mask_alone: "mask-without-image",
    text_for_mask: "mask-unreadable",
    jpeg_for_mask: "mask-grey",
    mask_of_another_size: "mask-size",
    empty_mask_of_a_lesion: "mask-against-class",
    normal_with_a_lesion: "mask-against-class",
    tiny: "mask-tiny",
    huge: "mask-huge",
    outline: "mask-holes",
    speck: "mask-parts",
    two_parts: "mask-parts",
    at_the_border: "mask-border",
    with_calipers: "calipers",
    with_text: "text",
    with_colour: "colour",
    with_flow: "doppler",
    with_a_colour_box: "doppler",
    small: "odd-size",
    dark: "odd-brightness",
    flat: "odd-contrast",
    noisy: "odd-sharpness",
    sixteen_bit: "odd-range",
    copied_to_malignant: "duplicates-in-two-classes",
    mirrored_with_another_mask: "duplicates-with-other-masks",
}


@pytest.mark.parametrize(
    ("change", "code"), CHANGES.items(), ids=[change.__name__ for change in CHANGES]
)
def test_a_fault_is_found_and_was_not_there_before(change, code, clean, data):
    before = found(clean, code)
    change(data)
    after = found(data, code)
    assert len(after) > len(before)
    assert all(finding.message and finding.kind.fix for finding in after)


def test_a_finding_names_the_case(data):
    with_calipers(data)
    case = f"benign__{benign(data).stem}"
    assert case in {finding.cases[0] for finding in found(data, "calipers")}


def test_many_faults_are_listed_at_once(data):
    images = [benign(data, index) for index in range(4)]
    truncated(data)
    mask_of(images[1]).unlink()
    mask_of(images[2]).write_text("no picture")
    save(mask_of(images[3]), pixels_of(mask_of(images[3]))[:, 1:])
    codes = {finding.code for finding in inspected(data).findings}
    assert {"image-unreadable", "mask-missing", "mask-unreadable", "mask-size"} <= codes


def test_a_cross_of_letters_is_no_caliper(data):
    image = benign(data)
    grey = pixels_of(image)
    cv2.putText(grey, "TT HT TT", (20, 130), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 2)
    save(image, grey)
    case = f"benign__{image.stem}"
    assert case not in {finding.cases[0] for finding in found(data, "calipers")}


def test_pictures_of_two_scanners_are_not_odd(data):
    """Half of the pictures have another size: neither half is unlike the rest."""
    for number, path in enumerate(sorted(data.rglob("*.png"))):
        if number % 2 == 0 and "_mask" not in path.name:
            for each in (path, *path.parent.glob(f"{path.stem}_mask*")):
                size = (60, 50)
                save(each, cv2.resize(pixels_of(each), size, interpolation=cv2.INTER_NEAREST))
    assert not found(data, "odd-size")


# --- other layouts ---------------------------------------------------------------------------


def test_two_masks_of_one_image(folder_pairs_dir, write_mask):
    write_mask(folder_pairs_dir / "masks" / "a_mask.png", row=6)
    assert found(folder_pairs_dir, "mask-ambiguous")


def test_an_image_without_lesion_of_no_class(folder_pairs_dir, write_mask):
    write_mask(folder_pairs_dir / "masks" / "a.png", row=None)
    assert [f.cases for f in found(folder_pairs_dir, "mask-empty")] == [("images__a",)]


def test_a_name_that_does_not_fit(nnunet_dir, write_picture):
    write_picture(nnunet_dir / "imagesTr" / "breast_003.png")
    (finding,) = found(nnunet_dir, "file-name")
    assert "breast_003_0000.png" in finding.message


def test_two_images_of_one_id(tmp_path, write_picture, write_mask):
    """a/b.png and a__b.png are both called a__b."""
    for name in ("a/b", "a__b"):
        write_picture(tmp_path / "d" / f"{name}.png")
        write_mask(tmp_path / "d" / f"{name}_mask.png")
    assert found(tmp_path / "d", "case-id-twice")


def test_pictures_without_masks_are_inspected_all_the_same(tmp_path, write_picture):
    write_picture(tmp_path / "scans" / "a.png")
    inspection = inspected(tmp_path / "scans")
    assert next(finding.code for finding in inspection.findings) == "no-masks"
    assert inspection.summary()["images"] == 1
    assert inspection.spoils


def test_a_class_of_few(busi_dir):
    assert {f.message for f in found(busi_dir, "few-cases")} == {
        "The class benign has 2 images.",
        "The class malignant has 1 image.",
        "The class normal has 1 image.",
    }


def test_a_picture_of_one_pixel_is_survived(tmp_path, write_picture):
    dot = np.zeros((1, 1), np.uint8)
    write_picture(tmp_path / "a.png", dot)
    write_picture(tmp_path / "a_mask.png", dot)
    assert {"image-blank", "mask-empty"} <= {f.code for f in inspected(tmp_path).findings}


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_what_is_no_folder_of_pictures_is_refused(make, tmp_path):
    make(tmp_path / "x")
    with pytest.raises((LayoutError, InputError)):
        inspected(tmp_path / "x")


# --- tables of BUS-BRA --------------------------------------------------------------------------


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_tables_that_agree_say_nothing(busbra_dir):
    codes = {finding.code for finding in inspected(busbra_dir).findings}
    assert not {code for code in codes if code.startswith("table")}


@pytest.mark.parametrize(
    ("table", "old", "new", "code"),
    [
        ("bus_data.csv", ",16,12,", ",17,12,", "table-size"),
        ("bus_data.csv", "[4,2,4,3]", "[8,2,4,3]", "table-box"),
        ("bus_data.csv", "bus_0001-r,1,", "bus_0009-r,1,", "table-no-row"),
        ("bus_data.csv", "bus_0001-r,1,", "bus_0001-r,,", "table-no-row"),
        ("bus_data.csv", "bus_0002-l,2", "bus_0001-l,2", "table-row-twice"),
        ("5-fold-cv.csv", "bus_0001-r,malignant,3,1", "bus_0001-r,malignant,x,1", "table-no-fold"),
        (
            "5-fold-cv.csv",
            "bus_0001-r,malignant,3,1",
            "bus_0001-r,malignant,3,0",
            "table-fold-parts-patient",
        ),
        (
            "5-fold-cv.csv",
            "bus_0001-r,malignant,3",
            "bus_0001-r,malignant,2",
            "table-fold-parts-patient",
        ),
        ("5-fold-cv.csv", "bus_0001-r,malignant", "bus_0001-r,benign", "table-classes"),
    ],
)
def test_a_table_that_contradicts(table, old, new, code, busbra_dir):
    edit(busbra_dir / table, old, new)
    assert found(busbra_dir, code)


def test_rows_without_an_image(busbra_dir):
    (busbra_dir / "Images" / "bus_0002-l.png").unlink()
    (busbra_dir / "Masks" / "mask_0002-l.png").unlink()
    (finding,) = found(busbra_dir, "table-no-image")
    assert "bus_0002-l" in finding.message


def test_one_picture_of_two_patients_and_folds(busbra_dir, clean):
    """The fixture's ramps have no detail: here they are a phantom and its copy."""
    pixels = pixels_of(benign(clean))
    rows, columns = pixels.shape
    mask = np.zeros((rows, columns), np.uint8)
    mask[30:60, 40:80] = 255
    for name in ("0001-l", "0002-l"):
        save(busbra_dir / "Images" / f"bus_{name}.png", pixels)
        save(busbra_dir / "Masks" / f"mask_{name}.png", mask)
    codes = {finding.code for finding in inspected(busbra_dir).findings}
    assert {"duplicates-across-patients", "duplicates-across-folds"} <= codes


# --- the document and the table of codes ---------------------------------------------------------


def test_every_code_is_tested_here():
    files = (Path(__file__), Path(__file__).with_name("test_volumes.py"))
    source = "".join(file.read_text() for file in files)
    untested = [code for code in KINDS if f'"{code}"' not in source]
    assert untested == []


def test_the_document_is_json_with_the_worst_first(data):
    with_text(data)
    image = benign(data, 1)
    image.write_bytes(image.read_bytes()[:400])
    document = inspected(data).to_document()
    json.dumps(document, allow_nan=False)
    order = [list(Severity).index(Severity(f["severity"])) for f in document["findings"]]
    assert order == sorted(order)
    assert document["spoils"]
    assert document["schema_version"] == 1
    assert len(document["cases"]) == document["summary"]["images"] == NUM_PHANTOMS
    assert all(re.fullmatch("[0-9a-f]{64}", c["sha256"]) for c in document["cases"] if c["sha256"])


def test_near_duplicates_are_grouped_and_train_keeps_them_together(data):
    first, second = benign(data, 0), benign(data, 1)
    save(second, np.ascontiguousarray(np.fliplr(pixels_of(first))))
    for path in second.parent.glob(f"{second.stem}_mask*"):
        path.unlink()
    for path in first.parent.glob(f"{first.stem}_mask*"):
        mirrored = np.ascontiguousarray(np.fliplr(pixels_of(path)))
        save(path.with_name(path.name.replace(first.stem, second.stem)), mirrored)
    inspection = inspected(data)
    (group,) = inspection.groups
    assert set(group.case_ids) == {f"benign__{first.stem}", f"benign__{second.stem}"}
    assert group.likeness > 0.95
    assert [finding.code for finding in group.findings] == ["near-duplicates"]
    assert inspection.num_kept_together == 2
