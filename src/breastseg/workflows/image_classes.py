"""The classes of whole images: what a data set says, as the network counts them."""

from collections.abc import Sequence

from breastseg.core.calibration import NORMAL
from breastseg.core.errors import RecipeError
from breastseg.core.network_recipe import UNLABELLED
from breastseg.core.recipe import Recipe
from breastseg.datasets.cases import CaseFiles, DataSet


def class_number(files: CaseFiles, classes: Sequence[str]) -> int:
    """Return the place of a case's class in `network.classes`, or UNLABELLED."""
    label = files.label
    return classes.index(label) if label is not None and label in classes else UNLABELLED


def lesion_free_class(classes: Sequence[str]) -> int:
    """Return the place of the class `normal` in `network.classes`, or UNLABELLED."""
    return classes.index(NORMAL) if NORMAL in classes else UNLABELLED


def require_classes(recipe: Recipe, data_set: DataSet) -> None:
    """Refuse to teach classes with a data set in which no image has one of them.

    Raises:
        RecipeError: no image has.
    """
    classes = recipe.network.classes
    if classes and all(class_number(files, classes) == UNLABELLED for files in data_set.cases):
        found = sorted({files.label for files in data_set.cases if files.label})
        raise RecipeError(
            f"network.classes={list(classes)}: no image of {data_set.root} has one of these "
            f"classes; it has {', '.join(found) or 'none'}. Add --set network.classes=[], "
            "or name its own."
        )
