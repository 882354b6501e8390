import numpy as np
import pytest

from breastseg.core.errors import InputError
from breastseg.evaluation.baselines import ALL_BACKGROUND, best_constant_mask
from breastseg.evaluation.overlap import dice


def ellipse(shape, centre, radii):
    row, column = np.ogrid[: shape[0], : shape[1]]
    return (((row - centre[0]) / radii[0]) ** 2 + ((column - centre[1]) / radii[1]) ** 2 <= 1)[None]


def test_all_background_marks_nothing_at_any_size():
    assert ALL_BACKGROUND.on((3, 471, 562)).shape == (3, 471, 562)
    assert not ALL_BACKGROUND.on((1, 7, 9)).any()


def test_lesions_of_one_shape_are_found_again_at_every_size():
    references = [
        ellipse((h, w), (h * 0.3, w * 0.6), (h * 0.15, w * 0.2)) for h, w in ((200, 300), (90, 70))
    ]
    best = best_constant_mask(references)
    unseen = ellipse((333, 251), (333 * 0.3, 251 * 0.6), (333 * 0.15, 251 * 0.2))
    assert dice(best.on(unseen.shape), unseen) > 0.93
    assert "where a lesion lies" in best.description


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (np.ones((1, 50, 60), bool), "every pixel"),
        (np.pad(np.ones((1, 60, 20), bool), ((0, 0), (20, 20), (40, 40))), "centred rectangle"),
    ],
)
def test_a_simple_shape_is_named(reference, expected):
    best = best_constant_mask([reference])
    assert expected in best.description
    assert dice(best.on(reference.shape), reference) > 0.9


def test_it_is_the_best_of_its_family_on_the_images_themselves():
    rng = np.random.default_rng(0)
    references = [
        ellipse((128, 128), rng.uniform(30, 98, 2), rng.uniform(8, 40, 2)) for _ in range(30)
    ]
    best = best_constant_mask(references).on((1, 128, 128))
    rivals = [np.ones_like(best), ellipse((128, 128), (64, 64), (40, 40))]
    rivals += [np.mean(references, axis=0) >= level for level in (0.2, 0.4, 0.6)]
    reached = np.mean([dice(best, reference) for reference in references])
    for rival in rivals:
        assert reached >= np.mean([dice(rival, reference) for reference in references]) - 0.01


def test_the_promised_dice_is_the_one_it_gets():
    references = [
        ellipse((256, 192), (100, 90), (60, 50)),
        ellipse((256, 192), (150, 70), (20, 30)),
    ]
    best = best_constant_mask(iter(references), chosen_on="two ellipses")
    reached = np.mean([dice(best.on((1, 256, 192)), reference) for reference in references])
    promised = float(best.description.split("mean Dice ")[1].rstrip(")"))
    assert promised == pytest.approx(reached, abs=0.005)
    assert "fits two ellipses best" in best.description


def test_normals_are_passed_over_and_a_volume_counts_with_all_its_slices():
    slab = np.zeros((4, 64, 64), bool)
    slab[1:3, 16:48, 16:48] = True
    best = best_constant_mask([np.zeros((1, 32, 32), bool), slab])
    assert dice(best.on(slab.shape), slab) == pytest.approx(2 * 2048 / (2048 + 4096), abs=0.05)
    with pytest.raises(InputError, match="needs a lesion in the training masks, found none"):
        best_constant_mask([np.zeros((1, 32, 32), bool)])
