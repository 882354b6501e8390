"""What a card says that the run does not know: scores with their intervals, and words."""

import json

import pytest

from breastseg.core.errors import InputError
from breastseg.datasets.splits import DataSplit
from breastseg.training.checkpoint import create_run
from breastseg.workflows.model_card import NOTHING, card_lines, card_page, make_card, read_told
from tests.bright_network import bright_recipe, bright_weights


@pytest.fixture
def run(tmp_path):
    recipe = bright_recipe()
    split = DataSplit(method="patients", parts={"train": ("a",)}, groups={"a": "p"})
    environment = {"framework": "pytorch", "device": "cpu"}
    made = create_run(
        tmp_path / "run", recipe=recipe, split=split, environment=environment, content={}
    )
    made.save_best(bright_weights(recipe, 150.0))
    return made


def summary(dice, **more):
    figure = {
        "value": dice,
        "interval": {"low": round(dice - 0.05, 3), "high": round(dice + 0.05, 3)},
        "unit": None,
    }
    return {
        "num_lesion_images": 40,
        "num_lesion_free_images": 7,
        "dice": figure,
        "dice_median": figure,
        "sensitivity": {"value": 0.975, "interval": {"low": 0.9, "high": 1.0}},
        "specificity": {"value": None, "interval": None},
        "hd95": [{"value": 12.34, "interval": {"low": 10.0, "high": 15.0}, "unit": "px"}],
        **more,
    }


@pytest.fixture
def scorecard(run, tmp_path):
    def write(**change):
        document = {
            "details": {
                "Model": run.fingerprint,
                "Scored on": "BUSI, test part: 47 images",
                "Intervals over": "patient",
            },
            "table": [{"summary": summary(0.8)}],
            "classes": {"malignant_auc": {"value": 0.91, "interval": {"low": 0.85, "high": 0.95}}},
            "by_source": {"busi": summary(0.75)},
            **change,
        }
        folder = tmp_path / "scorecard"
        folder.mkdir(exist_ok=True)
        (folder / "scorecard.json").write_text(json.dumps(document))
        return folder

    return write


def test_scores_stand_on_the_card_with_their_intervals(run, scorecard):
    card = make_card(run, run, read_told("Finds.", None, [scorecard()], run))
    (score,) = card["scores"]
    assert score["dice"] == {"value": 0.8, "low": 0.75, "high": 0.85, "unit": None}
    assert score["specificity"] is None
    assert score["by_source"]["busi"]["dice"]["value"] == 0.75
    page = card_page(card)
    assert "| BUSI, test part: 47 images | 40 | 0.800 [0.750, 0.850] |" in page
    assert "12.3 px [10.0, 15.0]" in page
    assert "0.910 [0.850, 0.950]" in page
    assert "| of these busi | 40 | 0.750 [0.700, 0.800] |" in page
    assert "AUC malignant 0.910" in card_lines(card)["scored on BUSI, test part: 47 images"]
    assert json.loads(json.dumps(card)) == card


def test_an_auc_is_not_made_up_for_a_network_without_classes(run, scorecard):
    (score,) = read_told("", None, [scorecard(classes=None)], run).scores
    assert score["malignant_auc"] is None


def test_words_go_onto_the_page_as_they_are(run, tmp_path):
    about = tmp_path / "about.md"
    about.write_text("## Data\n\nBUSI, CC BY 4.0.\n")
    card = make_card(run, run, read_told("", about, [], run))
    assert "## Data\n\nBUSI, CC BY 4.0.\n" in card_page(card)
    assert card_lines(card)["about"].startswith("## Data")


def test_a_card_without_scores_and_words_has_no_empty_places_for_them(run):
    card = make_card(run, run, NOTHING)
    assert not {"scores", "about"} & card.keys()
    assert "95 %" not in card_page(card)


def test_the_scorecard_of_another_model_is_refused(run, scorecard):
    folder = scorecard(details={"Model": "0123456789ab", "Scored on": "x", "Intervals over": "y"})
    with pytest.raises(InputError, match=r"found that of 0123456789ab\. Evaluate the run again"):
        read_told("", None, [folder], run)


@pytest.mark.parametrize("text", [None, "no JSON", "{}", "[1]"])
def test_what_is_no_scorecard_is_refused(text, run, tmp_path):
    if text is not None:
        (tmp_path / "scorecard.json").write_text(text)
    with pytest.raises(InputError, match=r"scorecard\.json: expected the scorecard of"):
        read_told("", None, [tmp_path], run)


def test_words_that_cannot_be_read_are_told(run, tmp_path):
    with pytest.raises(InputError, match=r"missing\.md: expected a Markdown file"):
        read_told("", tmp_path / "missing.md", [], run)
