import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from breastseg.core.errors import InputError
from breastseg.core.image import Case, Image
from breastseg.core.lesion import find_lesions
from breastseg.evaluation.case_score import score_case
from breastseg.evaluation.scorecard import Contender, summarise, to_document
from breastseg.io.raster import encode_png
from breastseg.report.figures import training_curves
from breastseg.report.overlays import draw_overlay
from breastseg.report.pages import PredictionEntry, prediction_page
from breastseg.report.rendering import data_uri
from breastseg.report.scorecard_page import Picture, scorecard_page

SHAPE = (1, 30, 40)
PNG = data_uri(encode_png(draw_overlay(np.zeros(SHAPE[1:], np.float32), None)))


class Elements(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def of(self, *names):
        return [attributes for tag, attributes in self.tags if tag in names]


def scores_of(shift, num_lesion, num_normal=2, label="benign"):
    reference = np.zeros(SHAPE, np.int32)
    reference[0, 5:15, 5:20] = 1
    scores = []
    for i in range(num_lesion + num_normal):
        drawn = reference if i < num_lesion else np.zeros_like(reference)
        case = Case(
            case_id=f"case {i}", image=Image(pixels=np.zeros(SHAPE, np.float32)), reference=drawn
        )
        mask = np.zeros(SHAPE, bool) if shift is None else np.roll(drawn > 0, shift + i % 3, axis=2)
        kind = label if i < num_lesion else "normal"
        scores.append(score_case(case, mask, group=f"group {i}", label=kind))
    return scores


def document_of(model_shift=2, baseline_shift=9, num_lesion=12, num_normal=2, **content):
    card = summarise(
        Contender(name="the model", scores=scores_of(model_shift, num_lesion, num_normal)),
        Contender(
            name="best constant mask",
            scores=scores_of(baseline_shift, num_lesion, num_normal),
            role="baseline",
            description="an ellipse",
        ),
        Contender(
            name="all background",
            scores=scores_of(None, num_lesion, num_normal),
            role="baseline",
        ),
    )
    return to_document(card, **content)


def lesions_of(spacing_mm=None):
    probability = np.zeros(SHAPE, np.float32)
    probability[0, 5:15, 5:25] = 0.87
    return find_lesions(probability, threshold=0.5, spacing_mm=spacing_mm)[1]


def entry(number=0, lesions=None, picture="case/overlay.png"):
    lesions = lesions_of() if lesions is None else lesions
    return PredictionEntry(case_id=f"case {number}", picture=picture, lesions=lesions)


PAGES = {
    "scorecard": scorecard_page(
        document_of(details={"Split": "by group"}),
        [Picture(case_id="case 1", picture=PNG, role="best", dice=0.9)],
        figures=[training_curves([1.0, 0.5], [0.2, 0.6])],
    ),
    "prediction": prediction_page(
        [entry(0), entry(1, ())],
        model="m",
        details={"Threshold": "0.5"},
        failures=[("a.png", "a.png: expected a picture, but the file holds text.")],
    ),
}
each_page = pytest.mark.parametrize("html", PAGES.values(), ids=PAGES.keys())


@each_page
def test_a_page_requests_nothing_from_elsewhere(html):
    elements = Elements(html)
    assert "://" not in html
    assert not elements.of("script", "iframe", "object", "embed", "form")
    for attributes in elements.of("img", "source", "link", "a"):
        for name in ("src", "href", "srcset"):
            assert not re.match(r"\s*(//|(?!data:)[a-z]+:)", attributes.get(name) or "")
    assert not re.search(r"url\(|@import", html)


@each_page
def test_a_page_says_that_it_is_no_medical_device(html):
    assert "Not a medical device" in html


@each_page
def test_a_page_can_be_read_on_a_phone_in_the_dark_and_by_a_screen_reader(html):
    elements = Elements(html)
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in elements.of(
        "meta"
    )
    assert "prefers-color-scheme: dark" in html
    assert elements.of("html") == [{"lang": "en"}]
    assert elements.of("img")
    assert all(image.get("alt", "").strip() for image in elements.of("img"))
    assert len(elements.of("h1")) == len(elements.of("main")) == 1


def test_the_scorecard_shows_the_baselines_in_the_table_of_the_model():
    document = document_of()
    html = scorecard_page(document, [])
    table = html[html.index("<table") : html.index("</table>")]
    for row in document["table"]:
        assert row["name"] in table
        assert f"{row['summary']['dice']['value']:.3f}" in table
    assert "12 left out" in table  # the empty baseline has no HD95 and no precision
    assert "accuracy" not in table
    assert f"the model {document['table'][0]['summary']['pixel_accuracy']:.3f}" in html


def test_the_scorecard_tells_how_it_was_measured_and_what_was_not():
    html = scorecard_page(
        document_of(details={"Split": "by group"}, warnings=["trained on"], not_tested=["CT"]), []
    )
    text = Elements(html).text
    assert all(part in text for part in ("Split", "by group", "trained on", "CT", "Wilson"))


def test_a_scorecard_read_back_from_json_gives_the_same_page():
    document = document_of()
    assert scorecard_page(json.loads(json.dumps(document)), []) == scorecard_page(document, [])


def test_a_model_that_beats_both_baselines_is_said_to():
    text = Elements(scorecard_page(document_of(), [])).text
    assert re.search(r"Dice \+0\.\d{3} against best constant mask", text)
    assert "Not shown to be better" not in text


def test_a_collapsed_model_is_called_so():
    text = Elements(scorecard_page(document_of(model_shift=None), [])).text
    assert text.count("Not shown to be better than a mask that ignores the image") == 2


@pytest.mark.parametrize(("shift", "differs"), [(0, False), (5, True)])
def test_another_model_is_compared_in_words_without_an_alarm(shift, differs):
    card = summarise(
        Contender(name="first", scores=scores_of(0, 12)),
        Contender(name="second", scores=scores_of(shift, 12)),
    )
    html = scorecard_page(to_document(card), [])
    assert ("Not shown to differ. Dice +0.000 against second" in html) is not differs
    assert "against second" in html
    assert "notice warn" not in html


@pytest.mark.parametrize(
    ("num_lesion", "num_normal", "expected"),
    [
        (12, 0, "no image without a lesion"),
        (0, 3, "no image with a lesion"),
        (1, 0, "one group alone: no interval"),
    ],
)
def test_a_data_set_that_lacks_something_gets_its_page(num_lesion, num_normal, expected):
    document = document_of(num_lesion=num_lesion, num_normal=num_normal)
    text = Elements(scorecard_page(document, [])).text
    assert expected in text
    assert "None" not in text
    assert "nan" not in text


def test_pictures_are_shown_under_their_role_with_their_dice():
    pictures = [
        Picture(case_id="low", picture=PNG, role="worst", dice=0.0),
        Picture(case_id="high", picture=PNG, role="best", dice=0.987),
        Picture(case_id="silent", picture=PNG, role="false alarm", dice=None),
    ]
    text = Elements(scorecard_page(document_of(), pictures)).text
    order = ["Best", "Dice 0.987", "high", "Worst", "Dice 0.000", "low", "False alarms", "silent"]
    places = [text.index(part, text.index("Cases to look at")) for part in order]
    assert places == sorted(places)
    assert "Around the median" not in text


def test_sizes_are_in_millimetres_only_where_those_are_known():
    known = entry(1, lesions_of((1.0, 0.5, 0.5)))
    text = Elements(prediction_page([entry(0), known], model="m", details={}, failures=[])).text
    assert "200 px" in text
    assert "22 px" in text  # 10 by 20 pixels: sqrt(500)
    assert "50.0 mm²" in text
    assert "11.2 mm" in text
    assert "0.87" in text


def test_images_with_a_lesion_come_first_and_failures_before_them():
    html = prediction_page(
        [entry(0, ()), entry(1)], model="m", details={}, failures=[("c", "broken")]
    )
    text = Elements(html).text
    assert text.index("broken") < text.index("case 1") < text.index("case 0")
    assert "Lesions found in 1 of 2 images" in text
    assert "no proof" in text


@pytest.mark.parametrize("entries", [[], [entry(0, ())]])
def test_a_page_without_findings_or_images_is_a_page(entries):
    text = Elements(prediction_page(entries, model="m", details={}, failures=[])).text
    assert f"Lesions found in 0 of {len(entries)} image" in text
    assert "Files without a result" not in text


def test_names_from_outside_are_escaped():
    nasty = "<script>alert('x')</script>\"&"
    html = prediction_page(
        [PredictionEntry(case_id=nasty, picture="a.png", lesions=())],
        model=nasty,
        details={nasty: nasty},
        failures=[(nasty, nasty)],
    )
    html += scorecard_page(
        document_of(details={nasty: nasty}, warnings=[nasty]),
        [Picture(case_id=nasty, picture="a.png", role="best", dice=1.0)],
    )
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 10


@pytest.mark.parametrize(
    "url", ["https://host/x.png", "//host/x.png", "javascript:alert(1)", "data:text/html,x", ""]
)
def test_a_picture_from_elsewhere_is_refused(url):
    with pytest.raises(InputError, match="case 'case 0': a picture must be a relative path"):
        entry(picture=url)
    with pytest.raises(InputError, match="relative path"):
        Picture(case_id="case 0", picture=url, role="best", dice=1.0)


def test_an_unknown_role_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match="missed, false positive, got 'nicest'"):
        Picture(case_id="case 0", picture=PNG, role="nicest", dice=1.0)


def test_a_thousand_images_make_a_page_that_opens():
    html = prediction_page([entry(i) for i in range(1000)], model="m", details={}, failures=[])
    images = Elements(html).of("img")
    assert len(images) == 1000
    assert all(image["loading"] == "lazy" for image in images)
    assert len(html) < 1_000_000
