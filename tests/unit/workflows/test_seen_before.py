import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image as Pillow

from breastseg.datasets.cases import CaseFiles
from breastseg.datasets.checked import content_of
from breastseg.datasets.layouts import find_data_set
from breastseg.datasets.sketches import read_and_sketch
from breastseg.datasets.splits import DataSplit
from breastseg.io.raster import file_sha256, read_luminance
from breastseg.training.model import Model
from breastseg.training.sketch_file import SKETCHES_NAME, save_sketches
from breastseg.workflows.seen_before import all_seen, exposures_of, refusal_of, warning_of


def silent(*told):
    pass


@pytest.fixture
def cases(phantom_data):
    return find_data_set(phantom_data).cases[:8]


@pytest.fixture
def make_run(cases, tmp_path):
    """Return a function that makes a run; the last two of eight images are its test part."""

    def make(name="run", *, groups=None, test=(6, 7)):
        ids = [case.case_id for case in cases]
        held_out = tuple(ids[place] for place in test)
        rest = [each for each in ids if each not in held_out]
        parts = {"train": tuple(rest[:4]), "validation": tuple(rest[4:]), "test": held_out}
        groups = groups or {each: each for each in ids}
        split = DataSplit(method="image", parts=parts, groups=groups, divides_groups=True)
        path = tmp_path / name
        path.mkdir()
        content = content_of(cases)
        save_sketches(path, content, read_and_sketch(cases, silent))
        return SimpleNamespace(path=path, split=split, content=content)

    return make


@pytest.fixture
def saved_anew(tmp_path):
    """Return a function that saves a mirrored copy of an image of some cases."""

    def save(case, name):
        path = tmp_path / f"{name}.jpg"
        pixels = np.fliplr(read_luminance(case.image_path)).astype(np.uint8)
        Pillow.fromarray(pixels).save(path, quality=60)
        return CaseFiles(case_id=name, image_path=path)

    return save


def exposure(cases, *runs):
    model = Model(path=None, runs=runs)
    return exposures_of([model], cases, content_of(cases), silent)[0]


def test_the_test_part_of_a_run_has_not_been_seen(cases, make_run):
    found = exposure(cases[6:], make_run())
    assert (found.seen, found.num_compared, found.num_not_compared) == ({}, 0, 0)


def test_a_renamed_training_image_is_the_same_file(cases, make_run, tmp_path):
    copy = replace(cases[0], case_id="renamed", image_path=tmp_path / "renamed.png")
    shutil.copy(cases[0].image_path, copy.image_path)
    (seen,) = exposure([copy], make_run()).seen.values()
    assert (seen.how, seen.twin, seen.part) == ("file", cases[0].case_id, "train")


def test_a_changed_training_image_is_a_near_duplicate(cases, make_run, saved_anew):
    found = exposure([saved_anew(cases[5], "copy"), cases[7]], make_run())
    (seen,) = found.seen.values()
    assert (seen.how, seen.twin, seen.part) == ("near duplicate", cases[5].case_id, "validation")
    assert seen.likeness > 0.95
    assert (found.num_compared, found.num_not_compared) == (1, 0)


def test_a_changed_test_image_has_not_been_seen(cases, make_run, saved_anew):
    assert not exposure([saved_anew(cases[6], "copy")], make_run()).seen


def test_of_several_folds_every_image_has_been_seen(cases, make_run, saved_anew):
    runs = make_run("1"), make_run("2", test=(0, 1, 2, 3, 4, 5))
    (seen,) = exposure([saved_anew(cases[6], "copy")], *runs).seen.values()
    assert (seen.twin, seen.part) == (cases[6].case_id, "train")
    assert not exposure(cases, *runs).seen  # each is scored by the fold that held it out


def test_an_unrelated_image_is_not_refused(make_run, phantom_data):
    others = find_data_set(phantom_data).cases[8:]
    found = exposure(others, make_run())
    assert not found.seen
    assert found.num_compared == len(others) == 16


def test_a_run_without_sketches_says_that_nothing_was_compared(cases, make_run, saved_anew):
    run = make_run()
    (run.path / SKETCHES_NAME).unlink()
    found = exposure([saved_anew(cases[0], "copy"), cases[1]], run)
    assert found.seen.keys() == {cases[1].case_id}
    assert (found.num_compared, found.num_not_compared) == (0, 1)


def test_an_image_whose_group_was_divided_has_been_seen(cases, make_run):
    groups = {case.case_id: case.case_id for case in cases}
    groups[cases[7].case_id] = cases[2].case_id
    (seen,) = exposure(cases[6:], make_run(groups=groups)).seen.values()
    assert (seen.how, seen.case_id) == ("group", cases[7].case_id)
    assert (seen.twin, seen.part) == (cases[2].case_id, "train")


def test_what_the_second_model_has_seen_counts_too(cases, make_run):
    models = [Model(path=None, runs=(run,)) for run in (make_run("1"), make_run("2", test=(0,)))]
    found = exposures_of(models, cases[7:], content_of(cases), silent)
    assert not found[0].seen
    assert all_seen(found).keys() == {cases[7].case_id}


def test_the_refusal_names_image_twin_and_fix(cases, make_run, saved_anew):
    new = [saved_anew(cases[0], f"copy {number}") for number in range(7)]
    found = exposure(new, make_run()).seen
    told = str(refusal_of(found, num_scored=20))
    assert "7 of 20 images are near duplicates" in told
    assert f"'copy 0' (like '{cases[0].case_id}' of train, likeness " in told
    assert "Take 'copy 0', 'copy 1', 'copy 2', 'copy 3', 'copy 4' and 2 more out" in told
    assert "--allow-leakage" in told


def test_a_warning_tells_each_way_apart(cases, make_run, saved_anew):
    found = exposure([saved_anew(cases[0], "copy"), cases[1]], make_run()).seen
    told = warning_of(found, num_scored=2)
    assert "1 of 2 images were trained on" in told
    assert "1 of 2 images are near duplicates" in told


def test_the_same_content_is_known_without_its_sketch(cases, make_run):
    """A file that the run knows is never compared with its own training images."""
    run = make_run()
    assert file_sha256(cases[7].image_path) in run.content.values()
    assert exposure([cases[7]], run).num_compared == 0
