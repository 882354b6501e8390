"""The page of a shift, in words and figures."""

import copy
import re
from dataclasses import asdict

import pytest

from breastseg.evaluation.shift_comparison import LesionImage, ScoredSet, compare_sets
from breastseg.evaluation.shift_factors import ImageFacts
from breastseg.report.shift_figures import kinds_figure, parts_figure
from breastseg.report.shift_page import shift_page, table_lines, verdicts
from breastseg.report.shift_terminal import print_shift

NAMES = ("here", "there <b>")
INTERVAL = {"low": 0.01, "high": 0.03}


def images(dice, scanner):
    return [
        LesionImage(
            facts=ImageFacts(
                case_id=str(number),
                brightness=number / 20,
                contrast=0.2,
                relative_size=0.1 + number / 100,
                diameter_px=10.0 + number,
                diameter_mm=None,
                label="benign" if number % 2 else "malignant",
                scanner=scanner,
            ),
            group=str(number),
            dice=dice,
        )
        for number in range(20)
    ]


def estimate(value, low=None, high=None):
    interval = None if low is None else {"low": low, "high": high}
    return {"value": value, "interval": interval, "num_images": 20, "num_left_out": 0}


def reliability(ece):
    return {
        **{"ece": ece, "ece_interval": INTERVAL, "brier": 0.04, "brier_interval": INTERVAL},
        **{"nll": 0.1, "prevalence": 0.1, "brier_of_prevalence": 0.09},
        **{"num_added": 20, "num_groups": 20},
        "bins": [
            {"low": 0.0, "high": 1.0, "share": 1.0, "mean_probability": 0.1, "observed": 0.1},
        ],
    }


def coverage(share):
    return {
        **{"promised": 0.9, "num_groups": 20, "num_held": round(20 * share), "share": share},
        **{"interval": INTERVAL, "expected": {"low": 0.7, "high": 1.0}, "luck": 0.5},
    }


def data_set(name, *, dice, drop=None, outer=0.9, ece=0.02, abstained=2):
    unsure = {"num_abstained": abstained, "num_images": 20}
    return {
        "name": name,
        "folder": name,
        "is_reference": drop is None,
        "is_own_data": drop is None,
        "scored_on": "20 images",
        "intervals_over": "patient",
        "summary": {
            **{"num_images": 20, "num_groups": 20, "num_lesion_images": 20},
            "num_lesion_free_images": 0,
            "dice": estimate(dice, dice - 0.05, dice + 0.05),
            "sensitivity": estimate(0.9, 0.7, 0.97),
            "hd95": [{**estimate(12.34, 10, 15), "unit": "px"}],
        },
        "drop": drop,
        "at_threshold": {
            "lesion_sensitivity": estimate(0.9, 0.7, 0.97),
            "false_positives_per_image": estimate(0.25, 0.1, 0.4),
            "specificity": estimate(None),
        },
        "calibration": {"note": None, "before": reliability(0.02), "after": reliability(ece)},
        "guarantees": {
            "note": None,
            "found": {"outer": coverage(outer), "inner": coverage(0.95), **unsure},
        },
    }


@pytest.fixture
def document():
    comparison = compare_sets(
        ScoredSet(name=NAMES[0], images=images(0.8, None)),
        ScoredSet(name=NAMES[1], images=images(0.6, "GE")),
    )
    drop = {"value": 0.2, "interval": {"low": 0.15, "high": 0.25}}
    return {
        "details": {"Reference": "here, the run's own data"},
        "warnings": [],
        "not_tested": ["Causes."],
        "definitions": {"drop": "lost"},
        "sets": [data_set(NAMES[0], dice=0.8), data_set(NAMES[1], dice=0.6, drop=drop)],
        "comparisons": [asdict(comparison)],
    }


def told(document):
    return " ".join(verdict["text"] for verdict in verdicts(document))


def test_the_page_escapes_names_and_links_the_scorecards(document):
    page = shift_page(document)
    assert "<b>" not in page
    assert 'href="there%20%3Cb%3E/scorecard.html"' in page
    assert "does not name it: nothing of the drop can be laid to it" in page
    assert page.count("<figure") == 2 + 1 + 6


def test_a_drop_is_told_only_where_it_is_clear(document):
    assert "a drop of 0.200 (+0.200; 95 %: +0.150 to +0.250)" in told(document)
    document["sets"][1]["drop"] = {"value": 0.02, "interval": {"low": -0.1, "high": 0.1}}
    assert "not shown to differ" in told(document)
    document["sets"][1]["drop"] = {"value": -0.1, "interval": {"low": -0.2, "high": -0.05}}
    assert "it is higher there" in told(document)
    document["sets"][1]["drop"] = {"value": 0.1, "interval": None}
    assert "one group alone" in told(document)


def test_broken_promises_are_told(document):
    quiet = told(document)
    assert not re.search("guarantee|temperature|abstains", quiet)
    drop = document["sets"][1]["drop"]
    document["sets"][1] = data_set("x", dice=0.6, drop=drop, outer=0.5, ece=0.09, abstained=18)
    loud = told(document)
    assert "the guarantee of the outer mask does not hold. It held in 50 % of 20 groups" in loud
    assert "ECE 0.020 before it, 0.090 after it" in loud
    assert "abstains in 90 % of the images, in 10 % of here" in loud


def test_lines_of_what_was_not_measured_have_a_dash(document):
    for each in document["sets"]:
        each["calibration"] = each["guarantees"] = {"note": "not calibrated"}
    lines = {line["name"]: line["cells"] for line in table_lines(document["sets"])}
    for name in ("ECE, after", "Outer mask", "Abstains", "Specificity"):
        assert lines[name] == [("\N{EN DASH}", "")] * 2
    assert lines["Missed altogether"][0] == ("0.100", "0.030 to 0.300")
    assert lines["HD95"][0] == ("12.3 px", "10.0 to 15.0")
    assert lines["Drop in Dice"] == [("reference", ""), ("+0.200", "+0.150 to +0.250")]
    page = shift_page({**document, "comparisons": []})
    assert "not calibrated" in page
    assert "there is no drop of the Dice to divide" in page
    assert "Do the probabilities carry?" not in page


def test_figures_tell_in_words_what_they_show(document):
    (comparison,) = document["comparisons"]
    assert "Drop +0.200; Brightness +0.000" in parts_figure(comparison).alt
    scanner = comparison["factors"][-1]
    figure = kinds_figure(scanner, NAMES, ("#000000", "#ffffff"))
    assert figure.alt == "Scanner: GE: Dice 0.600 in 20 of there <b>"
    assert figure.light != figure.dark
    nothing = copy.deepcopy(comparison)
    for each in (*nothing["factors"], nothing["together"]):
        each["parts"] = None
    assert parts_figure(nothing) is None


def test_the_terminal_prints_brackets_as_they_are(document, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    document["warnings"] = ["[b]seen[/b]"]
    print_shift(document)
    out = capsys.readouterr().out
    assert "+0.200 [+0.150 to +0.250]" in out
    assert "[b]seen[/b]" in out
    assert "Scanner" in out
