import numpy as np
import pytest

from breastseg.core.errors import InputError, ReferenceMaskError
from breastseg.core.image import Case, Image
from breastseg.evaluation.shift_comparison import LesionImage, ScoredSet, compare_sets
from breastseg.evaluation.shift_factors import (
    BRIGHTNESS,
    CLASS,
    RELATIVE_SIZE,
    ImageFacts,
    describe,
    factors_for,
    sort_into_kinds,
    sort_together,
)


def case(pixels, drawn, affine=None):
    image = Image(pixels=np.asarray(pixels, np.float32)[None], affine=affine)
    return Case(case_id="a", image=image, reference=np.asarray(drawn, np.int32)[None])


def facts(brightness=0.5, *, size=0.1, label="benign", scanner=None, diameter_mm=None):
    return ImageFacts(
        case_id="a",
        brightness=brightness,
        contrast=0.2,
        relative_size=size,
        diameter_px=10.0,
        diameter_mm=diameter_mm,
        label=label,
        scanner=scanner,
    )


def scored(name, images):
    """Return a set of pairs of facts and Dice, each image a group of its own."""
    return ScoredSet(
        name=name,
        images=[
            LesionImage(facts=each, group=str(number), dice=dice)
            for number, (each, dice) in enumerate(images)
        ],
    )


def by_key(comparison):
    return {result.key: result for result in comparison.factors}


def test_an_image_is_measured_by_hand():
    pixels = [[0, 102, 102, 204]] * 2
    found = describe(case(pixels, [[1, 0, 0, 2]] * 2), label="benign", scanner="GE")
    assert found.brightness == pytest.approx(0.4)
    assert found.contrast == pytest.approx(np.sqrt(2 * 0.4**2 / 4))
    assert found.relative_size == 0.5
    assert found.diameter_px == pytest.approx(2 * np.sqrt(4 / np.pi))
    assert found.diameter_mm is None
    assert (found.label, found.scanner) == ("benign", "GE")


def test_brightness_does_not_depend_on_the_depth_of_the_file():
    grey = np.array([[0, 100, 200, 255]] * 2)
    drawn = [[1, 0, 0, 0]] * 2
    eight, sixteen = (
        describe(case(grey * scale, drawn), label=None, scanner=None) for scale in (1, 257)
    )
    assert sixteen.brightness == pytest.approx(eight.brightness)
    assert sixteen.contrast == pytest.approx(eight.contrast)


def test_millimetres_where_they_are_known_of_every_image():
    affine = np.diag([1.0, 0.5, 0.5, 1.0])
    found = describe(case(np.ones((2, 4)), [[1, 1, 1, 1]] * 2, affine), label=None, scanner=None)
    assert found.diameter_mm == pytest.approx(2 * np.sqrt(8 * 0.25 / np.pi))
    names = [each.unit for each in factors_for([found], [facts(diameter_mm=3.0)])]
    assert " mm" in names
    assert " mm" not in [each.unit for each in factors_for([found], [facts()])]


def test_an_image_without_a_lesion_has_no_size():
    with pytest.raises(ReferenceMaskError, match="'a'"):
        describe(case(np.ones((2, 2)), np.zeros((2, 2))), label=None, scanner=None)


def test_ranges_are_the_same_for_both_sets():
    dark, bright = [facts(0.1), facts(0.2)], [facts(0.3), facts(0.4)]
    found = sort_into_kinds(BRIGHTNESS, dark, bright, num_bins=2)
    assert found.kinds == ("up to 20 %", "above 20 %")
    assert found.first == ("up to 20 %",) * 2
    assert found.second == ("above 20 %",) * 2


@pytest.mark.parametrize(("num_images", "num_ranges"), [(5, 2), (29, 2), (30, 3), (200, 5)])
def test_small_sets_get_fewer_ranges_so_that_each_holds_some_of_both(num_images, num_ranges):
    small, large = (
        [facts(value) for value in np.linspace(0, 1, count)] for count in (num_images, 1000)
    )
    found = sort_into_kinds(BRIGHTNESS, small, large)
    assert len(found.kinds) == num_ranges
    assert min(found.first.count(kind) for kind in found.kinds) >= num_images // num_ranges - 1


def test_names_are_sorted_and_what_is_not_known_stays_so():
    first = [facts(label="malignant"), facts(label=None)]
    found = sort_into_kinds(CLASS, first, [facts(label="benign")])
    assert found.kinds == ("benign", "malignant")
    assert found.first == ("malignant", None)


def test_factors_together_are_all_combinations_and_unknown_where_one_is():
    first = [facts(0.1), facts(0.9, label=None)]
    found = sort_together([BRIGHTNESS, CLASS], first, [facts(0.9), facts(0.1)])
    assert found.first == ("up to 10 %, benign", None)
    assert found.second == ("above 10 %, benign", "up to 10 %, benign")


def test_a_drop_that_sizes_explain_is_laid_to_sizes_and_not_to_brightness():
    random = np.random.default_rng(0)

    def images(share_of_large):
        large = np.arange(60) < 60 * share_of_large
        return [
            (facts(random.random(), size=0.3 if is_large else 0.03), 0.9 if is_large else 0.5)
            for is_large in large
        ]

    found = compare_sets(scored("here", images(0.75)), scored("there", images(0.25)))
    results = by_key(found)
    assert results["relative_size"].parts.composition.value == pytest.approx(0.2)
    assert results["relative_size"].parts.composition_share.value == pytest.approx(1)
    assert abs(results["brightness"].parts.composition.value) < 0.06
    assert found.together.parts.rates.value == pytest.approx(0, abs=0.03)
    assert found.together.name == "Brightness, relative lesion size, class together"


def test_misses_are_told_from_worse_outlines():
    # A quarter more is missed altogether; the others are outlined as well as before.
    first = scored("here", [(facts(), 0.8)] * 30 + [(facts(), 0.0)] * 10)
    second = scored("there", [(facts(), 0.8)] * 20 + [(facts(), 0.0)] * 20)
    misses = compare_sets(first, second).misses
    assert misses.composition.value == pytest.approx(0.2)
    assert misses.rates.value == pytest.approx(0)


def test_notes_say_what_the_sets_lack():
    silent = scored("here", [(facts(), 0.8)] * 10)
    ge, toshiba, mixed = (
        scored(name, [(facts(scanner=scanner), 0.6) for scanner in scanners])
        for name, scanners in (
            ("ge", ["GE"] * 10),
            ("toshiba", ["Toshiba"] * 10),
            ("mixed", ["GE"] * 5 + ["Toshiba"] * 15),
        )
    )

    def note(first, second):
        result = by_key(compare_sets(first, second))["scanner"]
        return result.note, result.parts is not None

    assert note(silent, silent) == ("Neither data set says anything of it.", False)
    assert note(silent, ge) == (
        "here does not name it: nothing of the drop can be laid to it.",
        True,
    )
    assert note(ge, toshiba)[0].startswith("The sets have no kind in common")
    assert note(ge, mixed)[0].startswith("Only 25% of mixed is of kinds in common")
    assert note(ge, ge)[0] is None


def test_factors_that_one_set_does_not_know_are_not_taken_together():
    first = scored("here", [(facts(label=None), 0.8)] * 10)
    found = compare_sets(first, scored("there", [(facts(), 0.6)] * 10))
    assert found.together.name == "Brightness, relative lesion size together"
    assert found.together.parts.rates.value == pytest.approx(0.2)


def test_a_set_without_a_lesion_is_refused():
    with pytest.raises(InputError, match="nothing: a drop"):
        compare_sets(scored("here", [(facts(), 0.8)]), scored("nothing", []))


def test_the_size_is_told_in_per_cent_of_the_image():
    found = sort_into_kinds(RELATIVE_SIZE, [facts(size=0.02)], [facts(size=0.3)], num_bins=2)
    assert found.kinds == ("up to 2 %", "above 2 %")
