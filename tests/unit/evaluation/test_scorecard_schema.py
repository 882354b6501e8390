import dataclasses
from dataclasses import asdict, dataclass

import numpy as np
import pytest

from breastseg.core.errors import InputError
from breastseg.core.image import Case, Image
from breastseg.evaluation import detection, scorecard_schema
from breastseg.evaluation.case_score import score_case
from breastseg.evaluation.classification import ToldImage, summarise_classes
from breastseg.evaluation.inflation import ScoredImage, estimate_inflation
from breastseg.evaluation.lesion_traits import LesionTraits
from breastseg.evaluation.matching import score_detection
from breastseg.evaluation.scorecard import Contender, summarise, to_document
from breastseg.evaluation.scorecard_schema import check_document, field_meanings, json_schema
from breastseg.evaluation.volume_detection import summarise_volumes

TRAITS = LesionTraits(
    label=1,
    diameter_mm=12.0,
    mean_hu=50.0,
    contrast_hu=90.0,
    gland_contrast_hu=None,
    gland_around=0.2,
    surroundings="in fat",
    breast_density=None,
)


@pytest.fixture
def document():
    pixels = np.zeros((1, 8, 9), np.float32)
    reference = np.zeros(pixels.shape, np.int32)
    reference[0, 2:5, 3:7] = 1
    case = Case(case_id="a", image=Image(pixels=pixels), reference=reference)
    found = score_detection(case, reference.astype(np.float32), threshold=0.5, group="g")
    summary = detection.unranked(detection.summarise([found]), "masks alone")
    nothing = {"note": "nobody looked"}
    leakage = {
        "runs": [],
        "is_own_data": False,
        "num_scored": 1,
        "num_known": None,
        "num_seen": None,
        "num_near_duplicates": None,
        "num_group_seen": None,
        "num_alike": None,
        "num_compared": 0,
        "num_not_compared": 1,
        "near_duplicate_from": 0.8,
        "alike_from": 0.7,
        "pairs": [
            {
                "case_id": "a",
                "how": "near duplicate",
                "twin": "b",
                "part": "train",
                "likeness": 0.9,
            }
        ],
        "not_checked": [],
    }
    return to_document(
        summarise(Contender(name="m", scores=[score_case(case, reference > 0, group="g")])),
        evidence={
            "detection": detection.to_document(summary),
            "calibration": nothing,
            "guarantees": nothing,
            "leakage": leakage,
            "inflation": asdict(
                estimate_inflation(
                    [ScoredImage(group="g", dice=0.9)],
                    [ScoredImage(group="h", dice=0.8)],
                    {"a": "g", "b": "h"},
                    num_train=1,
                )
            ),
            "classes": asdict(
                summarise_classes(
                    [
                        ToldImage(
                            case_id=label,
                            group=label,
                            label=label,
                            probability={"benign": 0.4, "malignant": 0.6},
                        )
                        for label in ("benign", "malignant")
                    ]
                )
            ),
            "volumes": asdict(summarise_volumes([found], {"a": [TRAITS]})),
        },
    )


def test_what_is_written_today_is_of_this_version(document):
    check_document(document)
    assert document["schema_version"] == scorecard_schema.SCHEMA_VERSION


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda document: document.update(schema_version=2), "schema_version"),
        (lambda document: document.update(extra=1), "no extra"),
        (lambda document: document["cases"][0].pop("dice"), "cases.0.dice"),
        (lambda document: document["cases"][0].update(dice="0.5"), "cases.0.dice"),
        (lambda document: document["table"][0]["summary"].update(gist=1), "table.summary.gist"),
        (lambda document: document.pop("leakage"), "leakage"),
        (lambda document: document["calibration"].update(ece=0), "calibration.ece"),
    ],
)
def test_any_other_document_is_refused_and_says_where(document, change, told):
    change(document)
    with pytest.raises(InputError, match=told):
        check_document(document)


def test_every_class_and_field_is_in_the_schema_with_its_meaning():
    schema = json_schema()
    for kind in scorecard_schema.document_classes():
        part = schema["$defs"].get(kind.__name__, schema)
        names = [field.name for field in dataclasses.fields(kind)]
        assert list(part["properties"]) == part["required"] == names
        assert part["additionalProperties"] is False
        assert all(field["description"] for field in part["properties"].values())


def test_a_field_without_a_meaning_is_refused():
    @dataclass
    class Silent:
        """A class.

        one, two: both told; and more
            of them. three: told, too.
        """

        one: int
        two: int
        three: int

    assert field_meanings(Silent) == {
        "one": "both told; and more of them",
        "two": "both told; and more of them",
        "three": "told, too",
    }

    @dataclass
    class Mute(Silent):
        """A class."""

    with pytest.raises(InputError, match="one, two, three"):
        field_meanings(Mute)
