import pytest

from breastseg.core.errors import RecipeError
from breastseg.core.fine_tuning import fine_tuning_recipe, other_network, other_preparation
from breastseg.core.recipe import Recipe
from breastseg.core.recipes import RECIPES, ct_3d, resolve_recipe, smoke, ultrasound_scratch
from breastseg.core.split_recipe import Split

MODEL = "0123456789ab"


def tuned(model, num_images=100):
    return fine_tuning_recipe(model, MODEL, num_images=num_images)


@pytest.mark.parametrize("name", RECIPES)
def test_what_the_weights_are_worth_something_with_is_kept(name):
    model = resolve_recipe(name)
    recipe = tuned(model)
    assert not other_network(model, recipe)
    assert not other_preparation(model, recipe)
    for field in ("loss", "augmentation", "volume", "class_loss_weight"):
        assert getattr(recipe, field) == getattr(model, field)
    assert Recipe.model_validate(recipe.model_dump()) == recipe


def test_a_model_is_tuned_slowly_and_from_a_warm_up_on():
    model = ultrasound_scratch()
    recipe = tuned(model)
    assert recipe.name == "ultrasound-scratch-tuned"
    assert recipe.optimisation.learning_rate == model.optimisation.learning_rate / 5
    assert recipe.optimisation.schedule.name == "cosine"
    assert recipe.optimisation.schedule.warmup_epochs >= 1
    assert recipe.begins_from == MODEL
    assert recipe.initial_weights == f"model:{MODEL}"


def test_the_beginning_is_part_of_the_fingerprint():
    other = fine_tuning_recipe(smoke(), "ba9876543210", num_images=100)
    assert other.fingerprint() != tuned(smoke()).fingerprint()


@pytest.mark.parametrize(
    ("num_images", "epochs"),
    # Batches of 8 of the 60 % that are trained on: 1, 3, 15 and 750 steps an epoch.
    [(5, 100), (20, 100), (50, 100), (200, 20), (10_000, 10)],
)
def test_a_few_hundred_steps_are_taken_whatever_the_number_of_images(num_images, epochs):
    assert tuned(ultrasound_scratch(), num_images).optimisation.epochs == epochs


def test_an_epoch_of_volumes_has_the_steps_of_its_patches():
    # 12 volumes of 32 patches in batches of 4 are 96 steps; half of the model's 9 epochs are 5.
    assert tuned(ct_3d(), 20).optimisation.epochs == 5


def test_how_the_data_of_the_model_was_divided_is_not_taken_over():
    model = smoke().with_settings(['split.folds={"count":5,"fold":2}', "seed=4"])
    assert tuned(model).split == Split()
    assert tuned(model).seed == 4


def test_few_images_choose_the_epoch_and_no_threshold():
    few, many = tuned(smoke(), 99).split, tuned(smoke(), 100).split
    assert (few.validation, few.calibration) == (0.2, 0)
    assert (many.validation, many.calibration) == (0.1, 0.1)
    assert few.test == many.test


def test_a_model_that_was_tuned_is_not_slowed_down_again():
    once = tuned(smoke())
    twice = fine_tuning_recipe(once, "ba9876543210", num_images=100)
    assert twice.optimisation.learning_rate == once.optimisation.learning_rate
    assert twice.name == once.name
    assert twice.begins_from == "ba9876543210"


@pytest.mark.parametrize("value", ["model:xyz", "model:0123456789abc", "imagenett"])
def test_a_beginning_that_names_no_model_is_refused(value):
    with pytest.raises(RecipeError, match="initial_weights"):
        smoke().with_settings([f"initial_weights={value}"])


def test_fields_of_another_network_are_named_with_both_values():
    other = smoke().with_settings(["network.norm=none", "network.channels=[8,16]"])
    told = other_network(smoke(), other)
    assert told == (
        "network.channels=[8, 16] (the model: [8, 16, 32, 64])",
        "network.norm=none (the model: group)",
    )
    assert any("network.encoder" in each for each in other_network(smoke(), _lite()))


def _lite():
    return resolve_recipe("ultrasound-pretrained")


def test_classes_and_dropout_do_not_make_another_network():
    other = smoke().with_settings(
        ['network.classes=["benign","malignant"]', "network.dropout=[0.1,0.1,0.1]"]
    )
    assert not other_network(smoke(), other)


def test_another_preparation_is_told_by_its_fields():
    other = smoke().with_settings(["preprocessing.size=128"])
    assert other_preparation(smoke(), other) == {
        "preprocessing.size": "preprocessing.size=128 (the model: 64)"
    }
    other = ct_3d().with_settings(["volume.spacing_mm=[2,2,2]", "volume.patches_per_volume=8"])
    assert other_preparation(ct_3d(), other).keys() == {"volume.spacing_mm"}
    assert other_preparation(ct_3d(), smoke()).keys() == {"volume"}
