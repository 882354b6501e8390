"""CT series and masks on the command line: inspect, data list, data fetch."""

import json

import pytest

from breastseg.io.dicom_series import read_series
from breastseg.io.nifti import write_nifti
from breastseg.workflows import fetch as fetching
from tests.dicom_masks import square, write_ct, write_rtstruct
from tests.dicom_phantom import tilt, write_enhanced, write_series
from tests.public_ct import FakeArchive


@pytest.fixture
def tree(tmp_path):
    """Return a CT series with an RTSTRUCT of a tumour and a seed point."""
    series = write_ct(tmp_path / "tree" / "ct")
    rois = {
        "Tumour": [square(n, 2.5, 7.5) for n in (1, 2)],
        "Seed": [square(2, 3, 4, type="POINT")],
    }
    write_rtstruct(tmp_path / "tree" / "rt.dcm", series, rois)
    return tmp_path / "tree"


def test_a_mask_file_is_listed(breastseg, tree):
    answer = breastseg("inspect", tree / "rt.dcm")
    assert answer.code == 0
    assert "RTSTRUCT (contours) of 1 series and 2 images" in answer.out
    assert "Tumour" in answer.out
    assert "points or open lines: no mask" in answer.out
    document = json.loads(breastseg("inspect", tree / "rt.dcm", "--json", "--label", "tum*").out)
    assert [each["name"] for each in document["structures"]] == ["Tumour"]


def test_a_tree_is_inspected_with_volumes(breastseg, tree, tmp_path):
    answer = breastseg("inspect", tree, "--report", tmp_path / "report")
    assert answer.code == 0
    assert "1 CT series of 1 patient, 1 with masks" in answer.out
    # 50 voxels of 3 x 0.8 x 0.7 mm.
    assert "0.084" in answer.out
    assert "not-closed" in answer.out
    assert "structure-refused" in answer.out
    assert "SECRET" not in answer.told
    page = (tmp_path / "report" / "inspection.html").read_text()
    document = json.loads((tmp_path / "report" / "inspection.json").read_text())
    assert "SECRET" not in page + json.dumps(document)
    (case,) = document["cases"]
    assert case["geometry"]["directions"] == ["H", "P", "L"]
    assert case["masks"][0]["structures"][0]["volume_mm3"] == pytest.approx(84)
    assert page.count("data:image/jpeg") == 1
    assert "Planes through &#39;Tumour&#39;" in page
    assert case["breasts"]["sides"] == []
    assert "no lung was found" in case["breasts"]["refusal"]
    assert "no lung was found" in page


def test_a_tilted_series_is_refused_and_straightened_on_request(breastseg, tmp_path):
    truth = write_series(tmp_path / "ct")
    tilt(truth, 2)
    refused = breastseg("inspect", truth.folder)
    assert refused.code == 1
    assert "--resample-tilt" in refused.out
    shown = breastseg("inspect", truth.folder, "--resample-tilt", "--json")
    assert shown.code == 0
    (case,) = json.loads(shown.out)["cases"]
    assert case["geometry"]["shape"][0] == len(truth.paths)
    assert any("tilt" in finding["message"] for finding in json.loads(shown.out)["findings"])


def test_one_file_of_a_volume_is_inspected(breastseg, tmp_path):
    series = read_series(write_enhanced(tmp_path / "enhanced").folder)
    write_nifti(tmp_path / "v.nii.gz", series.image)
    answer = breastseg("inspect", tmp_path / "v.nii.gz", "--report", tmp_path / "report")
    assert answer.code == 0
    assert "1 NIfTI volume" in answer.out
    assert "axial slices from feet to head" in answer.out
    assert "data:image/jpeg" in (tmp_path / "report" / "inspection.html").read_text()
    one = breastseg("inspect", tmp_path / "enhanced", "--json")
    (case,) = json.loads(one.out)["cases"]
    assert case["geometry"]["shape"] == list(series.image.pixels.shape)


@pytest.mark.data
def test_planes_go_through_the_tumour_of_a_real_series(shared_data, breastseg, tmp_path):
    study = shared_data / "ct" / "4d-lung-113_HM10395"
    answer = breastseg("inspect", study, "--report", tmp_path / "report")
    assert answer.code == 0
    page = (tmp_path / "report" / "inspection.html").read_text()
    assert "Planes through &#39;Tumor_c40&#39;" in page
    assert "head first, supine, as the files claim (HFS)" in page
    assert "The breast region, in planes through the" in page
    assert "hardly any gland" in page
    assert len(page) < 400_000


def test_a_label_leaves_the_rest_out(breastseg, tree):
    document = json.loads(breastseg("inspect", tree, "--json", "--label", "tumour").out)
    assert [s["name"] for s in document["cases"][0]["masks"][0]["structures"]] == ["Tumour"]
    assert document["findings"] == []


def test_a_mask_without_its_series_ends_with_1(breastseg, tree, tmp_path):
    other = write_ct(tmp_path / "other", name="other")
    write_rtstruct(tree / "other.dcm", other, {"a": [square(1, 2, 5)]})
    answer = breastseg("inspect", tree)
    assert answer.code == 1
    assert "mask-without-image" in answer.out


@pytest.mark.parametrize("verb", [("train",), ("augment", "--preview")], ids=lambda verb: verb[0])
def test_pictures_are_asked_for_where_volumes_cannot_be_used(breastseg, tree, tmp_path, verb):
    more = ("--framework", "pytorch") if verb[0] == "train" else ()
    answer = breastseg(verb[0], tree, *verb[1:], *more, "--output", tmp_path / "out")
    assert answer.code == 2
    assert "They need a recipe for volumes: `breastseg plan`" in answer.err


def test_collections_are_listed(breastseg):
    answer = breastseg("data", "list")
    assert answer.code == 0
    assert "eay131-breast" in answer.out
    assert "CC BY 4.0" in answer.out
    assert [c["name"] for c in json.loads(breastseg("data", "list", "--json").out)] == [
        "eay131-breast",
        "qin-breast",
    ]


def test_a_collection_is_fetched_and_can_be_inspected(breastseg, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "_archive", FakeArchive)
    output = tmp_path / "data"
    answer = breastseg("data", "fetch", "eay131-breast", "--output", output, "--limit", 2)
    assert answer.code == 2
    assert "add --yes" in answer.err
    assert "2 CT series of 2 patients with their masks, 83 MB" in answer.err
    assert not output.exists()
    options = ("--output", output, "--limit", 2, "--yes", "--json")
    answer = breastseg("data", "fetch", "eay131-breast", *options)
    assert answer.code == 0
    document = json.loads(answer.out)
    assert (document["cases"], document["downloaded_series"]) == (2, 4)
    again = json.loads(breastseg("data", "fetch", "eay131-breast", *options).out)
    assert (again["missing_mb"], again["downloaded_series"]) == (0, 0)
    assert breastseg("inspect", output, "--label", "tumour").code == 0


def test_a_download_that_breaks_off_says_how_to_go_on(breastseg, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "_archive", lambda: FakeArchive(fails_at=2))
    output = tmp_path / "data"
    answer = breastseg("data", "fetch", "eay131-breast", "--output", output, "--yes")
    assert answer.code == 2
    assert "the network is down" in answer.err
    assert len(list(output.glob("ct-*/ct"))) == 1


def test_an_unknown_collection_ends_with_2(breastseg, tmp_path):
    answer = breastseg("data", "fetch", "eay", "--output", tmp_path, "--yes")
    assert answer.code == 2
    assert "eay131-breast" in answer.err
