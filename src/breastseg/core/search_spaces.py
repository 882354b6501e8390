"""The spaces that ship with breastseg, each a function that returns a SearchSpace."""

from collections.abc import Callable, Mapping
from pathlib import Path

from breastseg.core.errors import SearchSpaceError, suggestion
from breastseg.core.loss_terms import PARAMETERS
from breastseg.core.search_space import SearchSpace, read_space


def seed_grid() -> SearchSpace:
    """What was tuned at the project's beginning: five losses, the learning rate, the width."""
    return SearchSpace(
        name="seed-grid",
        description=(seed_grid.__doc__ or "").strip(),
        base="seed-latent256",
        space={
            "loss": ["bce", "dice", "bce-dice", "focal", "tversky"],
            "optimisation.learning_rate": [0.0003, 0.001, 0.003],
            "network.channels": [[8, 16, 32, 64, 128], [16, 32, 64, 128, 256]],
        },
    )


def losses() -> SearchSpace:
    """All losses with the constants of their papers; boundary, which needs help, beside BCE."""
    names = [name for name in PARAMETERS if name != "boundary"]
    return SearchSpace(
        name="losses",
        description=(losses.__doc__ or "").strip(),
        base="ultrasound-scratch",
        space={"loss": [*names, "bce:1,boundary:0.01"]},
    )


def architecture() -> SearchSpace:
    """Depth and width, convolutions per block, normalisation, upsampling."""
    return SearchSpace(
        name="architecture",
        description=(architecture.__doc__ or "").strip(),
        base="ultrasound-scratch",
        space={
            "network.convolutions": [1, 2],
            "network.channels": [
                [16, 32, 64, 128],
                [16, 32, 64, 128, 256],
                [32, 64, 128, 256, 512],
                [16, 32, 64, 128, 256, 256],
            ],
            "network.norm": ["group", "batch"],
            "network.upsampling": ["transposed", "interpolation"],
        },
    )


SPACES: Mapping[str, Callable[[], SearchSpace]] = {
    "seed-grid": seed_grid,
    "losses": losses,
    "architecture": architecture,
}


def resolve_space(name_or_path: str) -> SearchSpace:
    """Return the shipped space of that name, or read a space file. A path beats a name.

    Raises:
        SearchSpaceError: neither a file nor a shipped space, or the file is no space.
    """
    path = Path(name_or_path)
    if path.is_file():
        return read_space(path)
    if name_or_path not in SPACES:
        raise SearchSpaceError(
            f"'{name_or_path}' is neither a file nor a shipped space."
            f"{suggestion(name_or_path, SPACES)} Shipped are: {', '.join(SPACES)} "
            "(`breastseg spaces list`)."
        )
    return SPACES[name_or_path]()
