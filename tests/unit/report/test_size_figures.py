import base64
import re

import pytest

from breastseg.report.size_figures import size_scatter


def case(reference, marked, *, label="benign", unit="px"):
    return {
        "label": label,
        "reference_size": reference,
        "size_difference": marked - reference,
        "size_unit": unit,
        "predicted_lesion": marked > 0,
    }


def svg(uri):
    return base64.b64decode(uri.partition(",")[2]).decode()


CASES = [
    *(case(100.0, 110.0), case(4000.0, 2000.0), case(50.0, 0.0)),
    *(case(0.0, 70.0, label="normal"), case(0.0, 0.0, label="normal")),
]


def test_missed_lesions_and_false_alarms_are_counted_and_seen():
    (found,) = size_scatter(CASES)
    assert "benign: 3 images, 1 missed altogether, 0 false alarms, median ratio 0.80" in found.alt
    assert "normal: 1 images, 0 missed altogether, 1 false alarms" in found.alt
    points = [
        len(re.findall("<use ", part))
        for part in re.findall(r'<g id="PathCollection_\d">.*?</g>\s*</g>', svg(found.light), re.S)
    ]
    assert points[:2] == [3, 1]  # then those of the legend
    assert found.light != found.dark


def test_each_unit_has_a_figure_of_its_own():
    found = size_scatter([*CASES, case(0.25, 0.5, unit="mm2")])
    assert ["mm²" in each.alt for each in found] == [True, False]


@pytest.mark.parametrize("cases", [[], [case(0.0, 0.0)]])
def test_without_any_lesion_there_is_no_figure(cases):
    assert size_scatter(cases) == []


def test_all_lesions_missed():
    (found,) = size_scatter([case(100.0, 0.0)])
    assert found.alt.endswith("1 missed altogether, 0 false alarms")
