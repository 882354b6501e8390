import pytest

from breastseg.core.errors import RecipeError
from breastseg.core.recipes import smoke
from breastseg.workflows.train import train


@pytest.mark.parametrize("setting", ["network.dimensions=3", "network.input_channels=3"])
def test_networks_that_nothing_makes_batches_for_are_refused_at_once(setting, tmp_path):
    recipe = smoke().with_settings([setting])
    with pytest.raises(RecipeError, match=f"{setting}.*the recipe has no `volume`"):
        train(tmp_path / "missing", recipe, framework="pytorch", output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
