import json

import pytest
from pydantic import ValidationError

from breastseg.core.errors import RecipeError
from breastseg.core.network_recipe import NETWORKS, LiteUNetSpec, UNetSpec
from breastseg.core.recipe import (
    LossTerm,
    Optimisation,
    Preprocessing,
    Recipe,
    Split,
    parse_recipe,
    read_recipe,
)
from breastseg.core.recipes import RECIPES, resolve_recipe, smoke

# --- the fingerprint names a run: it must never change for a released recipe -------------------


def test_the_fingerprint_hashes_only_what_differs_from_the_defaults():
    assert Recipe().fingerprint() == Recipe(seed=0, split=Split(test=0.2)).fingerprint()
    assert Recipe().fingerprint() == "44136fa355b3"  # the hash of {}


@pytest.mark.parametrize(
    ("name", "fingerprint"),
    [
        ("ultrasound-scratch", "0654987393e3"),
        ("seed-latent256", "0e45491aaced"),
        ("seed-latent1024", "927c6800611f"),
        ("smoke", "637ae116f98c"),
    ],
)
def test_new_fields_do_not_rename_the_runs_of_shipped_recipes(name, fingerprint):
    assert RECIPES[name]().fingerprint() == fingerprint


def test_the_fingerprint_leaves_the_name_out():
    assert Recipe(name="mine").fingerprint() == Recipe(name="yours").fingerprint()


@pytest.mark.parametrize(
    "setting",
    [
        "seed=1",
        "optimisation.deep_supervision=1",
        "optimisation.epochs=51",
        "network=unet-1024",
        "network.dimensions=3",
        "network=unet-lite0",
        'network.classes=["benign","malignant"]',
        "class_loss_weight=0.3",
        "network.strides=[[2,2],[2,2],[2,2],[1,2]]",
        "loss=dice",
        "split.test=0.1",
    ],
)
def test_the_fingerprint_changes_with_the_training(setting):
    assert Recipe().with_settings([setting]).fingerprint() != Recipe().fingerprint()


@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_recipe_survives_its_file(name, tmp_path):
    recipe = RECIPES[name]()
    assert recipe.name == name
    (tmp_path / "recipe.json").write_text(recipe.to_json())
    assert read_recipe(tmp_path / "recipe.json") == recipe
    assert read_recipe(tmp_path / "recipe.json").fingerprint() == recipe.fingerprint()


def test_shipped_recipes_are_all_different():
    assert len({make().fingerprint() for make in RECIPES.values()}) == len(RECIPES)


def test_a_recipe_is_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        Recipe().seed = 1


# --- reading ----------------------------------------------------------------------------------


def test_a_path_beats_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smoke").write_text(Recipe(name="mine").to_json())
    assert resolve_recipe("smoke").name == "mine"
    assert resolve_recipe("seed-latent256").name == "seed-latent256"


def test_an_unknown_name_is_told_with_those_there_are():
    with pytest.raises(RecipeError, match=r"'smoek' is neither .* Shipped are: ultrasound-scratch"):
        resolve_recipe("smoek")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"r\.json: expected a JSON recipe, but Expecting"),
        (b"\xff\xfe", r"r\.json: the recipe cannot be read"),
        (b"[]", r"r\.json: expected a recipe of schema version 1, got None"),
        (b'{"schema_version": 2}', r"r\.json: .* schema version 1, got 2\. Use the breastseg vers"),
    ],
)
def test_a_file_that_is_no_recipe_is_told(tmp_path, content, message):
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        read_recipe(tmp_path / "r.json")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(RecipeError, match=r"gone\.json: the recipe cannot be read"):
        read_recipe(tmp_path / "gone.json")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"sead": 1}, r"run: 'sead' is no recipe field\. Did you mean 'seed'\?"),
        (
            {"optimisation": {"epoch": 5}},
            r"'optimisation\.epoch' is no recipe field\. Did you mean 'epochs'\?",
        ),
        (
            {"optimisation": {"epochs": 0}},
            r"optimisation\.epochs: .*greater than or equal to 1.* 0",
        ),
        ({"optimisation": {"epochs": "many"}}, r"optimisation\.epochs: .*integer.* got 'many'"),
        ({"optimisation": {"optimiser": "lion"}}, r"optimisation\.optimiser: .*'adamw' or 'sgd'"),
        ({"optimisation": {"optimiser": "adam"}}, r"adam takes no weight_decay here"),
        (
            {"optimisation": {"optimiser": "sgd", "momentum": 0}},
            r"nesterov needs a momentum above 0",
        ),
        ({"optimisation": {"accumulation": 17}}, r"at most batch_size \(16\)"),
        ({"optimisation": {"clip_norm": 0}}, r"optimisation\.clip_norm: .*greater than 0"),
        ({"optimisation": {"deep_supervision": -1}}, r"deep_supervision: .*equal to 0"),
        (
            {"optimisation": {"deep_supervision": 4}},
            r"deep_supervision=4 must be at most 3: .* channels \(16, 32, 64, 128, 256\)",
        ),
        (
            {"optimisation": {"deep_supervision": 1}, "network": {"channels": [8, 16]}},
            r"deep_supervision=1 must be at most 0",
        ),
        ({"optimisation": {"ema_decay": 1}}, r"optimisation\.ema_decay: .*less than 1"),
        (
            {"optimisation": {"schedule": {"name": "one-cycle", "warmup_epochs": 2}}},
            r"one-cycle warms up by itself",
        ),
        (
            {"optimisation": {"schedule": {"name": "one-cycle", "minimum": 0}}},
            r"one-cycle ends at minimum",
        ),
        ({"split": {"test": 0.9}}, r"must leave something for training"),
        ({"split": {"validation": 0}}, r"validation must be above 0"),
        ({"network": {"channels": [16]}}, r"network\.channels: .*at least 2"),
        ({"network": {"norm": "group", "channels": [12, 20]}}, r"a multiple of channels_per_group"),
        ({"network": {"dropout": [0.1]}}, r"dropout needs 4 rates"),
        ({"network": {"convolutions": [1, 2]}}, r"convolutions needs 5 numbers"),
        ({"network": {"dimensions": 4}}, r"network\.dimensions: .*2 or 3"),
        ({"network": {"kernels": [[3, 3]]}}, r"kernels needs 5 entries"),
        ({"network": {"strides": [[2, 2]] * 5}}, r"strides needs 4 entries"),
        ({"network": {"kernels": [[3, 3, 3]] * 5}}, r"each entry of kernels needs 2 numbers"),
        (
            {"network": {"dimensions": 3, "strides": [[2, 2]] * 4}},
            r"each entry of strides needs 3 numbers",
        ),
        ({"network": {"strides": [[2, 2], [2, 2], [2, 2], [1, 1]]}}, r"must halve an axis"),
        ({"network": {"kernels": [[5, 3]] * 5}}, r"network\.kernels\.0\.0: .*1 or 3.*5"),
        ({"network": "unet-9000"}, r"no network is called 'unet-9000'; there are unet-256"),
        ({"loss": "dise"}, r"loss\.0\.name: no loss is called 'dise'.* 'dice'\?"),
        ({"loss": "dice:-1"}, r"loss\.0\.weight: .*greater than 0"),
        ({"name": "My Recipe"}, r"name: .*pattern"),
        ({"seed": -1, "sead": 1}, r"seed: .*; 'sead' is no recipe field"),
    ],
)
def test_unknown_keys_and_wrong_values_are_told_by_their_field(document, message):
    with pytest.raises(RecipeError, match=message):
        parse_recipe(document, source="run")


# --- settings ---------------------------------------------------------------------------------


def test_settings_change_fields_of_any_depth():
    recipe = Recipe().with_settings(
        ["optimisation.schedule.patience=3", "name=mine", "network.norm=group", "split.test=0.3"]
    )
    assert recipe.optimisation.schedule.patience == 3
    assert (recipe.name, recipe.network.norm, recipe.split.test) == ("mine", "group", 0.3)
    assert Recipe().optimisation.schedule.patience == 5


def test_networks_and_losses_can_be_set_by_a_word():
    recipe = Recipe().with_settings(["network=unet-1024", "loss=bce:1,dice:0.5"])
    assert recipe.network == NETWORKS["unet-1024"]
    assert recipe.loss == (LossTerm(name="bce"), LossTerm(name="dice", weight=0.5))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epochs", r"--set epochs: expected KEY=VALUE"),
        ("epochs=5", r"--set epochs=5: no recipe field is called 'epochs'"),
        ("optimisation.epoch=5", r"Did you mean 'epochs'\?"),
        ("seed.deeper.x=1", r"no recipe field is called 'seed\.deeper\.x'"),
        ("optimisation.epochs=few", r"--set: optimisation\.epochs: .* got 'few'"),
    ],
)
def test_wrong_settings_are_told(setting, message):
    with pytest.raises(RecipeError, match=message):
        Recipe().with_settings([setting])


# --- the parts --------------------------------------------------------------------------------


def test_a_spec_knows_its_stride_and_levels():
    spec = UNetSpec(channels=(8, 16, 32), convolutions=(1, 2, 3), dropout=(0.1, 0.2))
    assert spec.stride == (4, 4)
    assert [spec.convolutions_at(level) for level in range(3)] == [1, 2, 3]
    assert [spec.dropout_at(level) for level in range(2)] == [0.1, 0.2]
    assert UNetSpec().convolutions_at(0) == 2
    assert UNetSpec().dropout_at(0) == 0.0


def test_a_spec_knows_its_stride_along_each_axis():
    spec = UNetSpec(
        dimensions=3,
        channels=(8, 16, 32),
        kernels=((1, 3, 3), (3, 3, 3), (3, 3, 3)),
        strides=((1, 2, 2), (2, 2, 2)),
    )
    assert spec.stride == (2, 4, 4)
    assert [spec.kernel_at(level) for level in range(2)] == [(1, 3, 3), (3, 3, 3)]
    assert UNetSpec(dimensions=3).kernel_at(4) == (3, 3, 3)
    assert UNetSpec(dimensions=3).stride == (16, 16, 16)
    assert UNetSpec().kernel_at(0) == (3, 3)


def test_a_recipe_may_describe_a_network_for_volumes():
    settings = [
        "network.dimensions=3",
        "network.channels=[8,16]",
        "network.kernels=[[1,3,3],[3,3,3]]",
        "network.strides=[[1,2,2]]",
    ]
    with pytest.raises(RecipeError, match="each entry of kernels needs 2 numbers"):
        Recipe().with_settings(settings[1:])
    recipe = Recipe().with_settings(settings)
    assert recipe.network.kernels == ((1, 3, 3), (3, 3, 3))
    assert parse_recipe(json.loads(recipe.to_json()), source="here") == recipe


def test_images_are_padded_to_what_suits_both_axes():
    network = UNetSpec(channels=(8, 16, 16), strides=((1, 2), (2, 2)))
    with pytest.raises(ValidationError, match=r"size=34 must be a multiple of 4"):
        Recipe(network=network, preprocessing=Preprocessing(size=34))


def test_every_optimiser_constant_is_explicit():
    constants = {"learning_rate", "beta1", "beta2", "epsilon", "weight_decay"}
    assert constants <= set(json.loads(Optimisation().model_dump_json()))


def test_a_size_that_the_network_cannot_halve_is_refused_with_one_that_fits():
    with pytest.raises(RecipeError, match=r"size=100 must be a multiple of 8.*take 104"):
        smoke().with_settings(["preprocessing.size=100"])
    assert smoke().with_settings(["preprocessing.size=104"]).preprocessing.size == 104


# --- networks with an encoder ------------------------------------------------------------------


def test_a_network_is_told_by_its_encoder():
    recipe = Recipe().with_settings(["network=unet-lite0", "network.decoder=[8,8,16,16,32]"])
    assert recipe.network == LiteUNetSpec(encoder="efficientnet-lite0", decoder=(8, 8, 16, 16, 32))
    assert recipe.network.channels == (8, 8, 16, 16, 32, 320)
    assert recipe.network.stride == (32, 32)
    assert parse_recipe(json.loads(recipe.to_json()), source="file") == recipe
    assert isinstance(recipe.with_settings(["network=unet-256"]).network, UNetSpec)


LITE = {"encoder": "efficientnet-lite0"}
THREE_D = {"dimensions": 3}
CT = {"volume": {"spacing_mm": [2, 2, 2], "patch": [32, 32, 32]}}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"network": LITE | {"decder": []}}, r"'network\.decder' .*Did you mean 'decoder'"),
        ({"network": {"encoder": "resnet50"}}, r"network\.encoder: .*efficientnet-lite0.*resnet50"),
        ({"network": LITE | {"decoder": [8, 8]}}, r"network\.decoder: .*at least 5"),
        ({"network": LITE | {"norm": "group", "decoder": [4, 8, 8, 8, 8]}}, "multiple of"),
        ({"network": LITE, "preprocessing": {"size": 200}}, "take 224"),
        ({"network": LITE | {"classes": ["benign"]}}, "two names or more"),
        ({"network": {"classes": ["benign", "benign"]}}, "each once"),
        ({"initial_weights": "imagenet"}, "network=unet-lite0"),
        ({"network": LITE, "optimisation": {"deep_supervision": 5}}, "at most 4"),
        (CT | {"network": THREE_D | {"classes": ["a", "b"]}}, r"set network\.classes=\[\]"),
    ],
)
def test_wrong_networks_with_an_encoder_are_told(document, message):
    with pytest.raises(RecipeError, match=message):
        parse_recipe(document, source="file")
