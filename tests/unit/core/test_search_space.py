import json

import pytest

from breastseg.core.errors import MissingExtraError, SearchSpaceError
from breastseg.core.recipes import resolve_recipe, smoke
from breastseg.core.search_space import Range, parse_space, read_space
from breastseg.core.search_spaces import SPACES, resolve_space


def space_of(**space):
    return parse_space({"base": "smoke", "space": space}, source="mine.yaml")


@pytest.mark.parametrize("name", SPACES)
def test_every_shipped_space_is_a_grid_of_recipes(name):
    space = resolve_space(name)
    assert space.name == name
    space.check(resolve_recipe(space.base))
    space.check_grid()
    assert space.num_cells() == len(list(space.cells())) > 1


def test_a_yaml_file_is_read_with_numbers_that_yaml_takes_for_text(tmp_path):
    path = tmp_path / "My grid.yaml"
    path.write_text(
        "base: smoke\n"
        "space:\n"
        '  loss: [bce, "tversky(alpha=0.3,beta=0.7)"]\n'
        "  optimisation.learning_rate: [1e-3, 1.0e-2]\n"
        "  optimisation.weight_decay: {low: 1e-4, high: 1e-1, log: true}\n"
        "  network.channels: [[8, 16], [8, 16, 32]]\n"
    )
    space = read_space(path)
    assert space.name == "my-grid"
    by_name = {each.name: each for each in space.dimensions()}
    assert by_name["optimisation.learning_rate"].labels() == [0.001, 0.01]
    assert by_name["network.channels"].labels() == ["8-16", "8-16-32"]
    assert by_name["optimisation.weight_decay"].range == Range(low=1e-4, high=1e-1, log=True)
    assert space.num_cells() is None
    recipe = space.recipe(
        smoke(),
        {
            "loss": "tversky(alpha=0.3,beta=0.7)",
            "optimisation.learning_rate": 0.01,
            "optimisation.weight_decay": 0.05,
            "network.channels": "8-16-32",
        },
    )
    assert recipe.network.channels == (8, 16, 32)
    assert recipe.loss[0].name == "tversky"
    assert recipe.optimisation.weight_decay == 0.05


def test_a_json_file_needs_no_yaml(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    path = tmp_path / "space.json"
    path.write_text(json.dumps({"space": {"loss": ["bce"]}}))
    assert read_space(path).num_cells() == 1
    path = path.rename(tmp_path / "space.yaml")
    with pytest.raises(MissingExtraError, match=r'pip install "breastseg\[search\]"'):
        read_space(path)


def test_settings_that_belong_together_are_one_choice():
    space = space_of(
        optimiser={
            "adamw": {"optimisation.optimiser": "adamw", "optimisation.weight_decay": 0.01},
            "adam": {"optimisation.optimiser": "adam", "optimisation.weight_decay": 0},
        }
    )
    space.check(smoke())
    found = space.recipe(smoke(), {"optimiser": "adam"}).optimisation
    assert (found.optimiser, found.weight_decay) == ("adam", 0)


def test_whole_ranges_and_steps_can_be_counted():
    space = space_of(
        **{
            "optimisation.epochs": {"low": 2, "high": 4},
            "augmentation.flip": {"low": 0.0, "high": 0.5, "step": 0.25},
        }
    )
    space.check_grid()
    assert space.num_cells() == 9
    assert {cell["optimisation.epochs"] for cell in space.cells()} == {2, 3, 4}
    assert {cell["augmentation.flip"] for cell in space.cells()} == {0.0, 0.25, 0.5}


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"optimisation.learning_rat": [0.1]}, "Did you mean 'learning_rate'"),
        ({"loss": ["bce", "dise"]}, "loss=dise makes no recipe"),
        ({"network.channels": [[8, 16], [7, 14]]}, "channels_per_group"),
        ({"optimisation.learning_rate": {"low": -1.0, "high": 1.0}}, "greater than 0"),
    ],
)
def test_what_makes_no_recipe_is_refused_before_any_training(space, told):
    with pytest.raises(SearchSpaceError, match=told):
        space_of(**space).check(smoke())


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"loss": "bce"}, "expected a list of values"),
        ({"loss": []}, "expected a list of values"),
        ({"loss": ["bce", "bce"]}, "lists bce twice"),
        ({"loss": {"small": 3}}, "settings by label"),
        ({"seed": [1, 2]}, "repeat seeds by --seeds"),
        ({"split.test": [0.1]}, "repeat folds by --folds"),
        ({"all": {"a": {"split.seed": 1}}}, "'split.seed' cannot be searched"),
        ({"optimisation.epochs": {"low": 3, "high": 2}}, "'optimisation.epochs': low must be"),
        ({"optimisation.epochs": {"low": 1, "high": 9, "lgo": True}}, "'lgo' is no field"),
        ({"optimisation.learning_rate": {"low": 0.0, "high": 1.0, "log": True}}, "above 0"),
        ({"network.norm": ["none"], "network": ["unet-256"]}, "write 'network' above it"),
    ],
)
def test_a_wrong_entry_is_told_with_its_name(space, told):
    with pytest.raises(SearchSpaceError, match=told):
        space_of(**space)


def test_a_grid_of_a_range_without_end_says_to_list_values():
    space = space_of(**{"optimisation.learning_rate": {"low": 1e-4, "high": 1e-2}})
    with pytest.raises(SearchSpaceError, match=r"List values.*--strategy"):
        space.check_grid()


def test_a_grid_of_too_many_combinations_is_a_slip():
    many = {"low": 1, "high": 10_001}
    with pytest.raises(SearchSpaceError, match="10,000"):
        space_of(**{"optimisation.epochs": many}).check_grid()


def test_a_space_too_large_to_check_whole_is_checked_value_by_value():
    values = [number / 1000 for number in range(1, 101)]
    space = space_of(
        **{"optimisation.learning_rate": values, "optimisation.weight_decay": [*values, -1]}
    )
    with pytest.raises(SearchSpaceError, match="weight_decay=-1"):
        space.check(smoke())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("space: [", "expected YAML"),
        ("- a", "expected a mapping"),
        ("base: smoke", "space: Field required"),
        ("spaces: {loss: [bce]}\nspace: {loss: [bce]}", "Did you mean 'space'"),
    ],
)
def test_a_file_that_is_no_space_is_told(tmp_path, text, told):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(SearchSpaceError, match=told):
        read_space(path)


def test_an_unknown_space_lists_the_shipped_ones():
    with pytest.raises(SearchSpaceError, match=r"Did you mean 'losses'.*seed-grid, losses"):
        resolve_space("loses")
