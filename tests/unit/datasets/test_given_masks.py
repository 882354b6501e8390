import pytest

from breastseg.core.errors import ImageFileError, LayoutError
from breastseg.datasets.cases import CaseFiles
from breastseg.datasets.given_masks import find_given_masks, read_case_list


def cases_of(*images, root):
    """Cases with ids as in a data folder, such as benign__a for benign/a.png."""
    return [
        CaseFiles(
            case_id=image.removesuffix(".png").replace("/", "__"),
            image_path=root / "data" / image,
            mask_paths=(root / "data" / image.replace(".png", "_mask.png"),),
        )
        for image in images
    ]


@pytest.fixture
def find(tmp_path):
    """Return a function that makes empty files and finds whose masks they are."""

    def found(files, images):
        folder = tmp_path / "masks"
        for name in files:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        given = find_given_masks(folder, cases_of(*images, root=tmp_path))
        return {
            case_id: tuple(
                path and path.relative_to(folder).as_posix()
                for path in (files.mask, files.probability)
            )
            for case_id, files in given.files.items()
        }

    return found


@pytest.mark.parametrize(
    "name",
    [
        *("benign__a (1).png", "a (1).png", "a (1)_mask.png", "benign/a (1).png"),
        *("deep/er/a (1).nii.gz", "benign__a (1)/mask.png", "a (1)/mask.png", "a (1).TIF"),
    ],
)
def test_a_mask_is_known_by_any_usual_name(find, name):
    assert find([name], ["benign/a (1).png", "benign/b.png"]) == {"benign__a (1)": (name, None)}


def test_nnunets_files_and_their_company(find):
    files = ["bus_7.png", "bus_7.npz", "bus_7.pkl", "dataset.json", "plans.json"]
    found = find([*files, "predict_from_raw_data_args.json"], ["bus_7_0000.png", "bus_8_0000.png"])
    assert found == {"bus_7_0000": ("bus_7.png", "bus_7.npz")}


def test_our_own_prediction_folder(find):
    files = ["a/mask.png", "a/overlay.png", "a/malignancy.png", "a/lesions.json", "report.html"]
    assert find([*files, "scorecard/scorecard.html"], ["a.png"]) == {"a": ("a/mask.png", None)}


@pytest.mark.parametrize("name", ["a_probability.tif", "a_prob.png", "a/probability.npz", "a.npz"])
def test_probabilities_are_known_by_their_names(find, name):
    assert find([name], ["a.png"]) == {"a": (None, name)}


def test_an_image_whose_own_name_ends_in_mask(find):
    assert find(["a_mask.png", "a.png"], ["a.png", "a_mask.png"]) == {
        "a": ("a.png", None),
        "a_mask": ("a_mask.png", None),
    }


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ([], "no such folder"),
        (["notes.txt"], "found none"),
        (
            ["a.png", *(f"x{n}.png" for n in range(7))],
            "7 files belong to none: 'x0.png', .* 2 more",
        ),
        (["a.png", "a.nii.gz"], "1 images have several"),
        (["a.png", "a_mask.png"], "'a.png', 'a_mask.png'"),
        (["same.png"], "several images of the same name"),
    ],
)
def test_what_does_not_fit_is_told_with_a_few_names(find, files, told):
    with pytest.raises(LayoutError, match=told):
        find(files, ["a.png", "benign/same.png", "malignant/same.png"])


def test_names_that_two_images_share_are_told_apart_by_their_folder(find):
    images = ["benign/same.png", "malignant/same.png"]
    assert list(find(["benign/same.png", "malignant__same.png"], images)) == [
        "benign__same",
        "malignant__same",
    ]


def test_the_reference_masks_are_no_predictions(tmp_path):
    cases = cases_of("a.png", root=tmp_path)
    (tmp_path / "data").mkdir()
    cases[0].mask_paths[0].touch()
    with pytest.raises(LayoutError, match="1 files are the reference masks"):
        find_given_masks(tmp_path / "data", cases)


def test_the_fingerprint_is_of_content_and_case(tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    cases = cases_of("a.png", "b.png", root=tmp_path)
    fingerprints = []
    for content in ({"a": "1", "b": "2"}, {"a": "2", "b": "1"}, {"a": "1", "b": "2"}):
        for name, text in content.items():
            (folder / f"{name}.png").write_text(text)
        fingerprints.append(find_given_masks(folder, cases).fingerprint(["b", "a"]))
    assert fingerprints[0] == fingerprints[2] != fingerprints[1]
    assert len(fingerprints[0]) == 12


def test_a_list_of_cases(tmp_path):
    cases = cases_of("benign/a.png", "benign/b.png", "malignant/b.png", root=tmp_path)
    path = tmp_path / "cases.txt"
    path.write_text("malignant__b\n\n a \nbenign__a\n")
    assert read_case_list(path, cases) == ("malignant__b", "benign__a")
    for text, told in (("b\n", "1 of 1 lines"), ("x\n", "'x'"), ("", "0 of 0")):
        path.write_text(text)
        with pytest.raises(LayoutError, match=told):
            read_case_list(path, cases)
    with pytest.raises(ImageFileError, match="No such file"):
        read_case_list(tmp_path / "none.txt", cases)
