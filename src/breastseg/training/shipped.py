"""Models that ship with the package: each a slim run folder that predicts, known by its name."""

from importlib.resources import files
from pathlib import Path

from breastseg.core.errors import RunFolderError

DEFAULT_MODEL = "ultrasound"
"""Of whoever names none: for pictures. CT has none, since `ct-demo` is a demonstration."""
_WEIGHTS = "weights.safetensors"


def shipped_folder() -> Path:
    """Return where the models of this installation lie."""
    return Path(str(files("breastseg.models")))


def shipped_models() -> tuple[str, ...]:
    """Return the names of the models that ship, sorted."""
    found = shipped_folder().glob(f"*/{_WEIGHTS}")
    return tuple(sorted(path.parent.name for path in found))


def folder_beside(model: Path, name: str) -> Path:
    """Return MODEL/NAME; of a model that ships MODEL-NAME here, and nothing in the package."""
    return model / name if model.exists() else Path(f"{model}-{name}")


def resolve_model(name: str | Path) -> Path:
    """Return the folder of a model: a path that exists, else a name that ships.

    Raises:
        RunFolderError: neither; it lists the names that there are.
    """
    path = Path(name)
    if path.exists():
        return path
    if str(name) in shipped_models():
        return shipped_folder() / str(name)
    there = ", ".join(shipped_models()) or "none in this installation"
    raise RunFolderError(
        f"{name}: expected a run folder or the name of a model that ships, found neither. Give "
        f"the --output of `breastseg train`, or one of: {there} (`breastseg models list`)."
    )
