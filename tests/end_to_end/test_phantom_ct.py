"""breastseg phantom ct as a user meets it: a set that other verbs read, gone on with, refused."""

import pytest

from breastseg.io.dicom_series import read_series

TINY = ("--shape", 40, 80, 80, "--num-lesions", 1, "--pose", "prone", "--workers", 1)


@pytest.fixture(scope="module")
def phantoms(breastseg, tmp_path_factory):
    """Return a set of one phantom with a lesion; leave it as it is."""
    folder = tmp_path_factory.mktemp("phantom") / "set"
    answer = breastseg("phantom", "ct", "--output", folder, "--num-cases", 1, *TINY)
    assert answer.code == 0, answer.told
    assert answer.out.strip() == str(folder)
    return folder


def test_a_set_is_one_that_inspect_reads(breastseg, phantoms):
    answer = breastseg("inspect", phantoms)
    assert answer.code == 0, answer.told
    assert "1 CT series of 1 patient, 1 with masks" in answer.out


def test_the_same_command_finds_nothing_left_to_do_and_another_is_refused(breastseg, phantoms):
    again = breastseg("phantom", "ct", "--output", phantoms, "--num-cases", 1, *TINY)
    assert again.code == 0, again.told
    other = breastseg("phantom", "ct", "--output", phantoms, "--seed", 5, *TINY)
    assert other.code == 2
    assert "seed is 5, was 0" in other.err


def test_lesions_go_into_a_scan_whose_breasts_are_found(breastseg, phantoms, tmp_path):
    scan = phantoms / "phantom-0001" / "ct"
    command = ("phantom", "ct", "--into", scan, "--output", tmp_path / "set", "--num-cases", 1)
    answer = breastseg(*command)
    assert answer.code == 0, answer.told
    made = read_series(tmp_path / "set" / "inserted-0001" / "ct")
    assert made.patient_position == "HFP"
    assert (made.image.pixels != read_series(scan).image.pixels).any()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--contrast",), "give it with --into"),
        (("--into", "nowhere", "--pose", "prone"), "leave them out with --into"),
    ],
)
def test_options_that_do_not_go_together_are_refused(breastseg, tmp_path, options, reason):
    answer = breastseg("phantom", "ct", "--output", tmp_path / "set", *options)
    assert answer.code == 2
    assert reason in answer.err
