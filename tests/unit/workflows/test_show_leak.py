from types import SimpleNamespace

from breastseg.training.model import Model
from breastseg.workflows.show_leak import _trained_on


def fold(train, test):
    parts = {"train": train, "validation": ("e",), "test": test}
    return SimpleNamespace(
        split=SimpleNamespace(parts=parts), content={each: f"sha {each}" for each in "abcde"}
    )


FILES = {f"sha {each}": f"file of {each}" for each in "abcd"}


def test_one_run_was_trained_on_its_training_part_alone():
    model = Model(path=None, runs=(fold(("a", "b"), ("c", "d")),))
    assert list(_trained_on(model, FILES)) == [("a", 0, "file of a"), ("b", 0, "file of b")]


def test_of_several_folds_each_image_goes_once_to_one_that_was_trained_on_it():
    model = Model(path=None, runs=(fold(("a", "b"), ("c", "d")), fold(("b", "c", "d"), ("a",))))
    found = {case_id: place for case_id, place, _ in _trained_on(model, FILES)}
    assert found == {"a": 0, "b": 0, "c": 1, "d": 1}


def test_images_that_are_no_longer_there_are_left_out():
    model = Model(path=None, runs=(fold(("a", "b"), ("c",)),))
    some = {"sha b": "file of b"}
    assert [case_id for case_id, _, _ in _trained_on(model, some)] == ["b"]
