"""What is said of a series on the page and in the terminal."""

import pytest

from breastseg.core.errors import InputError
from breastseg.report.volume_figures import block_histogram, value_histogram
from breastseg.report.volumes import VolumePicture, print_volumes, volumes_page

GEOMETRY = {
    "shape": [2, 4, 5],
    "in_hu": True,
    "hu": {"min": -1000.0, "median": 40.0, "max": 900.0},
    "histogram": {"start": -1024, "width": 512, "counts": [20, 0, 15, 5]},
    "tissues": {"air and lung": 0.5, "fat": 0.0, "soft tissue": 0.3, "bone": 0.1},
    "spacing_mm": [3.0, 0.8, 0.7],
    "extent_mm": [6.0, 3.2, 3.5],
    "directions": ["S", "P", "L"],
    "slices": "axial slices from feet to head; anterior is up and right at the left",
    "oblique_degrees": 0.0,
    "slice_thickness_mm": 3.0,
    "patient_position": "FFP",
    "padded_share": 0.25,
}


def document(geometry, findings=()):
    case = {
        "case": "ct-1",
        "patient": None,
        "files": 2,
        "geometry": geometry,
        "breasts": None,
        "masks": [],
    }
    summary = {
        "root": "studies",
        "layout": "DICOM tree",
        "notes": [],
        "volumes": 1,
        "readable": 1,
        "patients": None,
        "with_mask": 0,
        "structures": 0,
    }
    return {"spoils": False, "summary": summary, "findings": list(findings), "cases": [case]}


def told(capsys, geometry, **more):
    print_volumes(document(geometry, **more))
    return " ".join(capsys.readouterr().out.split())


def test_a_series_is_told_in_words_and_blocks(capsys):
    out = told(capsys, GEOMETRY)
    for words in (
        "2 slices of 4 x 5",
        "3 x 0.8 x 0.7 mm (slice, row, column)",
        "axial slices from feet to head; anterior is up and right at the left",
        "feet first, prone, as the files claim (FFP)",
        "thickness 3 mm",
        "25 % of the voxels in the files",
        "-1024 █ █▇ 1024",
        "air and lung 50.0 %",
    ):
        assert words in out


@pytest.mark.parametrize(
    ("thickness", "words"),
    [(5.0, "they overlap"), (1.0, "what no slice shows"), (None, "not in the files"), (3.02, "")],
)
def test_thickness_is_set_against_the_distance(capsys, thickness, words):
    out = told(capsys, {**GEOMETRY, "slice_thickness_mm": thickness})
    assert words in out
    assert ("slices 3 mm apart" in out) == (thickness in (5.0, 1.0))


def test_why_a_series_is_refused_stands_beside_it(capsys):
    finding = {"code": "series-refused", "severity": "spoils", "meaning": "", "fix": "Mend."}
    findings = [{**finding, "cases": ["ct-1"], "message": "a gap [missing-slice]"}]
    assert "refused a gap [missing-slice]" in told(capsys, None, findings=findings)
    page = volumes_page(document(None, findings), {})
    assert "<dd>a gap [missing-slice]</dd>" in page
    assert "<img" not in page


def test_the_page_shows_planes_and_histogram(capsys):
    picture = VolumePicture(case_id="ct-1", url="data:image/jpeg;base64,AA", caption="Planes <1>")
    page = volumes_page(document(GEOMETRY), {"ct-1": [picture]})
    assert 'src="data:image/jpeg;base64,AA"' in page
    assert "Planes &lt;1&gt;" in page
    assert page.count("data:image/svg+xml") == 2
    with pytest.raises(InputError, match="ct-1"):
        VolumePicture(case_id="ct-1", url="https://example.org/x.png", caption="")


def test_the_figure_is_said_in_words_for_those_who_do_not_see_it():
    figure = value_histogram(GEOMETRY)
    assert "from -1000 to 900 HU, median 40" in figure.alt
    assert "bone 10.0 %" in figure.alt
    assert figure.light != figure.dark
    unknown = value_histogram({**GEOMETRY, "in_hu": False, "tissues": None})
    assert "HU" not in unknown.alt


def test_a_histogram_of_few_bins_is_not_stretched():
    assert block_histogram([5, 5], 40) == "██"
