"""breastseg inspect as a user meets it, on phantoms and on real scans."""

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from breastseg.datasets.inspection.findings import KINDS


@pytest.fixture
def data(phantom_data, tmp_path):
    """Return a copy of the phantoms that may be damaged."""
    return Path(shutil.copytree(phantom_data, tmp_path / "data"))


def damage(data):
    sorted(data.glob("benign/*_mask.png"))[0].unlink()


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.sources, self.texts = [], []

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.sources += [named[key] for key in ("src", "href") if named.get(key)]

    def handle_data(self, text):
        self.texts.append(text)


def test_without_faults_the_code_is_0_and_nothing_is_written(
    breastseg, phantom_data, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    answer = breastseg("inspect", phantom_data)
    assert answer.code == 0
    assert "benign 12, malignant 8, normal 4" in answer.out
    assert list(tmp_path.iterdir()) == []


def test_what_spoils_a_result_ends_with_1(breastseg, data):
    damage(data)
    answer = breastseg("inspect", data)
    assert answer.code == 1
    assert "mask-missing" in answer.out
    assert "Add it or remove the image." in answer.out
    assert "spoil" in answer.err


def test_wrong_use_ends_with_2(breastseg, tmp_path):
    answer = breastseg("inspect", tmp_path / "nowhere")
    assert answer.code == 2
    assert "no such folder" in answer.err
    (tmp_path / "empty").mkdir()
    assert breastseg("inspect", tmp_path / "empty").code == 2


def test_the_report_is_a_page_and_a_document(breastseg, data, tmp_path):
    damage(data)
    answer = breastseg("inspect", data, "--report", tmp_path / "report", "--json")
    assert answer.code == 1
    names = sorted(path.name for path in (tmp_path / "report").iterdir())
    assert names == ["breastseg.log", "inspection.html", "inspection.json"]
    document = json.loads((tmp_path / "report" / "inspection.json").read_text())
    assert json.loads(answer.out) == document
    for finding in document["findings"]:
        kind = KINDS[finding["code"]]
        assert (finding["severity"], finding["fix"]) == (kind.severity.value, kind.fix)
        assert finding["message"]
    page = Links()
    page.feed((tmp_path / "report" / "inspection.html").read_text())
    assert all(source.startswith("data:") for source in page.sources)
    assert len(page.sources) > 10
    assert "mask-missing" in page.texts


def test_a_name_cannot_get_into_the_page_as_markup(breastseg, data, tmp_path):
    image = sorted(data.glob("benign/*).png"))[0]
    mask = image.with_name(f"{image.stem}_mask.png")
    image.rename(image.with_name("<b onload=x>.png"))
    mask.rename(image.with_name("<b onload=x>_mask.png"))
    breastseg("inspect", data, "--report", tmp_path / "report")
    page = (tmp_path / "report" / "inspection.html").read_text()
    assert "<b onload" not in page


def test_train_takes_groups_from_the_cache_that_inspect_filled(
    breastseg, small, data, tmp_path, monkeypatch
):
    monkeypatch.setenv("BREASTSEG_CACHE", str(tmp_path / "cache"))
    breastseg("inspect", data)
    few = (*small, "--set", "optimisation.epochs=2")
    answer = breastseg("train", data, *few, "--output", tmp_path / "run")
    assert answer.code == 0
    assert "known from earlier" in answer.err
    assert "near-duplicate group" in answer.err


# --- on real scans ------------------------------------------------------------------------------


def codes_of(document):
    return {finding["code"]: finding for finding in document["findings"]}


def cases_of(document, code):
    return {case for f in document["findings"] if f["code"] == code for case in f["cases"]}


@pytest.fixture(scope="module")
def busi(shared_data, breastseg, tmp_path_factory):
    report = tmp_path_factory.mktemp("busi")
    answer = breastseg("inspect", shared_data / "Dataset_BUSI_with_GT", "--report", report)
    assert answer.code == 1
    return report


@pytest.mark.data
def test_busi_has_its_near_duplicates_marks_and_contradictions(busi):
    document = json.loads((busi / "inspection.json").read_text())
    summary = document["summary"]
    assert (summary["images"], summary["lesion_free"]) == (780, 133)
    assert 300 < summary["near_duplicates"]["images"] < 400
    two_classes = cases_of(document, "duplicates-in-two-classes")
    assert {"benign__benign (433)", "malignant__malignant (145)"} <= two_classes
    assert {"benign__benign (437)", "normal__normal (34)"} <= two_classes
    assert {"benign__benign (240)", "benign__benign (13)"} <= cases_of(document, "doppler")
    assert "malignant__malignant (12)" in cases_of(document, "calipers")
    assert "benign__benign (334)" in cases_of(document, "text")
    assert "normal__normal (113)" in cases_of(document, "colour")


@pytest.mark.data
def test_the_page_of_a_whole_set_stays_small(busi):
    assert (busi / "inspection.html").stat().st_size < 4e6


@pytest.mark.data
def test_busbra_has_the_faults_of_its_tables(shared_data, breastseg):
    answer = breastseg("inspect", shared_data / "BUSBRA", "--json")
    assert answer.code == 1
    document = json.loads(answer.out)
    wrong_sizes = {"bus_0856-l", "bus_0857-r", "bus_0990-l"}
    assert cases_of(document, "table-size") == wrong_sizes
    assert cases_of(document, "table-box") == {"bus_0845-s"}
    folds = [f["message"] for f in document["findings"] if f["code"] == "table-fold-parts-patient"]
    assert len(folds) == 5
    assert not any("kFold" in message for message in folds)
    assert not {code for code in codes_of(document) if code.startswith("duplicates")}
