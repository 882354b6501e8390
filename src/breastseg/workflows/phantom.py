"""`breastseg phantom`: data sets of phantoms, to try and test with."""

from pathlib import Path

from breastseg.core.errors import InputError, OutputError
from breastseg.datasets.phantom_ultrasound import write_phantoms
from breastseg.io.atomic import make_folder


def make_ultrasound_phantoms(output: Path, *, num_cases: int = 120, seed: int = 0) -> Path:
    """Write a data set of breast ultrasound phantoms in the layout of BUSI.

    Args:
        output: a new or empty folder.
        num_cases: half are benign, a third malignant, a sixth normal.
        seed: the same seed gives the same files; more cases leave the first ones as they are.

    Returns:
        The folder, ready for `find_data_set`.

    Raises:
        InputError: num_cases or seed is out of range.
        OutputError: the folder holds something already, or cannot be written.
    """
    if num_cases < 1:
        raise InputError(f"num_cases must be 1 or more, got {num_cases}.")
    if seed < 0:
        raise InputError(f"seed must be 0 or more, got {seed}.")
    make_folder(output)
    if any(output.iterdir()):
        raise OutputError(
            f"{output}: expected a new or empty folder for the phantoms, but it holds files. "
            "Choose another --output."
        )
    write_phantoms(output, num_cases=num_cases, seed=seed)
    return output
