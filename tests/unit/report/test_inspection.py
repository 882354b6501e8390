"""The page of an inspection stays small, whatever was found."""

import pytest

from breastseg.datasets.inspection.findings import KINDS, Finding
from breastseg.report.inspection import Thumbnail, inspection_page, print_inspection

SPREAD = {"min": 1.0, "median": 2.0, "max": 3.0}


def document(num_cases, findings, groups=()):
    return {
        "schema_version": 1,
        "spoils": any(f.kind.severity.value == "spoils" for f in findings),
        "summary": {
            "root": "data",
            "layout": "pairs",
            "notes": ["A <note>."],
            "images": num_cases,
            "readable": num_cases - 1,
            "classes": {"benign": num_cases},
            "patients": None,
            "images_without_patient": num_cases,
            "folds": {},
            "spacings_mm": [(0.1, 0.1)],
            "with_mask": num_cases,
            "lesion_free": 0,
            "lesions": num_cases,
            "several_lesions": 0,
            "near_duplicates": {"groups": 0, "images": 0, "kept_together_by_train": 0},
            **dict.fromkeys(("rows", "columns", "lowest_grey", "highest_grey"), SPREAD),
            **dict.fromkeys(("brightness", "lesion_area_px", "lesion_share"), SPREAD),
        },
        "findings": [finding.to_document() for finding in findings],
        "groups": list(groups),
        "cases": [{"case": f"c{number}", "picture": {}} for number in range(num_cases)],
    }


def group(number, *codes):
    cases = [f"c{number}", f"c{number + 1}"]
    return {"cases": cases, "classes": [], "likeness": 0.9, "codes": ["near-duplicates", *codes]}


@pytest.fixture
def looks():
    """Return a function that makes thumbnails, and what it was asked for."""
    asked = []

    def look(case_id):
        asked.append(case_id)
        picture = None if case_id == "c0" else "data:image/jpeg;base64,"
        return Thumbnail(case_id=case_id, label="benign", picture=picture)

    return look, asked


def test_the_number_of_thumbnails_is_bounded(looks):
    look, asked = looks
    numbers = range(2000)
    findings = [
        Finding(code=code, cases=(f"c{number}",), message="m")
        for code in KINDS
        for number in numbers
    ]
    groups = [group(number, "duplicates-in-two-classes") for number in range(500)]
    groups += [group(number) for number in range(500, 1000)]
    page = inspection_page(document(2000, findings, groups), look)
    assert len(asked) < 450
    assert "2,000" in page


def test_what_is_put_into_the_page_is_escaped(looks):
    look, _ = looks
    finding = Finding(code="mask-without-image", cases=(), message="<script>x</script>")
    page = inspection_page(document(3, [finding]), look)
    assert "<script>" not in page
    assert "A &lt;note&gt;." in page
    assert "no picture" in page


def test_the_terminal_says_what_spoils_in_full_and_the_rest_in_short(capsys):
    findings = [
        Finding(code="mask-missing", cases=("c1",), message="c1.png: [none] was found."),
        Finding(code="text", cases=("c2",), message="A row of 3 letters."),
    ]
    print_inspection(document(3, findings))
    told = capsys.readouterr().out
    assert "c1.png: [none] was found." in told
    assert KINDS["mask-missing"].fix in told
    assert "(text)" in told
    assert "A row of 3 letters." not in told
    assert "0.1 x 0.1 mm" in told


def test_nothing_found_is_said(capsys, looks):
    print_inspection(document(3, []))
    assert "Nothing was found." in capsys.readouterr().out
    assert "Nothing was found." in inspection_page(document(3, []), looks[0])
