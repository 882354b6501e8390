"""The page and the table of a search: complete, escaped, and readable without a winner."""

import copy

import pytest

from breastseg.report import search_figures
from breastseg.report.pages import search_page
from breastseg.report.terminal import print_search
from breastseg.workflows.search_result import DEFINITIONS, MEANING


def row(number, dice, *, rank=None, state="complete", **parameters):
    repeats = [] if dice is None else [{"label": "seed-0", "best_epoch": 3, "dice": dice}]
    return {
        "rank": rank,
        "number": number,
        "state": state,
        "parameters": parameters,
        "dice": dice,
        "interval": None,
        "repeats": repeats,
        "epochs": 3,
        "seconds": 12.0,
        "cause": "",
    }


def side(value):
    interval = {"low": value - 0.1, "high": value + 0.1}
    return {"value": value, "interval": interval, "num_images": 20}


@pytest.fixture
def document():
    gap = {"validation": side(0.8), "test": side(0.7), "gap": 0.1}
    gap["interval"] = {"low": 0.02, "high": 0.18}
    return {
        "details": {"Space": "mine, 4 combinations"},
        "description": "Losses & <rates>.",
        "definitions": dict(DEFINITIONS),
        "num_trials": {
            **{"wanted": 4, "complete": 2, "pruned": 1, "stopped": 0, "failed": 1, "running": 0}
        },
        "parameters": ["loss", "optimisation.learning_rate"],
        "repeats": {"kind": "seeds", "count": 1},
        "table": [
            row(1, 0.81, rank=1, loss="dice", **{"optimisation.learning_rate": 0.00123456}),
            row(0, 0.75, rank=2, loss="bce", **{"optimisation.learning_rate": 0.1}),
            row(2, 0.2, state="pruned", loss="bce", **{"optimisation.learning_rate": 0.01}),
            {**row(3, None, state="failed"), "cause": "MemoryError: <b>"},
        ],
        "importance": {"loss": 0.7, "optimisation.learning_rate": 0.3},
        "winner": 1,
        "selection_gap": {**gap, "constant_mask": copy.deepcopy(gap), "meaning": MEANING},
        "selection_gap_missing": "",
        "scored_on_test": [1],
    }


def test_the_page_has_the_gap_the_ranking_and_three_figures(document):
    page = search_page(document)
    assert "Selection gap: validation minus test" in page
    assert "+0.100" in page
    assert "0.00123<" in page
    assert page.count("<figure") == 3
    assert "MemoryError: &lt;b&gt;" in page
    assert "Losses &amp; &lt;rates&gt;." in page
    assert "no longer unseen" not in page


def test_without_a_winner_the_page_says_why_there_is_no_gap(document):
    document["table"] = [{**document["table"][3], "state": "running"}]
    document |= {"winner": None, "selection_gap": None, "importance": {}}
    document["selection_gap_missing"] = "no trial is complete"
    page = search_page(document)
    assert "The selection gap is not known: no trial is complete." in page
    assert "No trial is complete yet." in page
    assert "<figure" not in page


def test_the_terminal_has_the_same(document, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    print_search(document)
    told = capsys.readouterr().out
    assert "loss dice, learning rate 0.00123" in told
    assert "+0.100 [+0.020, +0.180]" in told
    print_search(document, most=1)
    assert "and 3 more in search.json" in capsys.readouterr().out
    document["selection_gap"], document["selection_gap_missing"] = None, "not over"
    print_search(document)
    assert "not known yet: not over." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("values", "heights"),
    [
        ([0.0001, 0.001, 0.01], [0, 0.5, 1]),
        ([1, 2, 3], [0, 0.5, 1]),
        (["16-32", "8-16", "dice"], [1, 0.5, 0]),
        ([True, False, None], [1, 0, 0.5]),
        ([5, 5, 5], [0.5, 0.5, 0.5]),
    ],
)
def test_an_axis_places_numbers_by_size_and_texts_by_their_numbers(values, heights):
    axis = search_figures._Axis(values)
    assert [axis.height(value) for value in values] == pytest.approx(heights)


def test_a_single_trial_makes_figures(document):
    rows = document["table"][:1]
    assert "best 0.810" in search_figures.history(rows).alt
    assert "1 trials" in search_figures.parallel_coordinates(["loss"], rows).alt
