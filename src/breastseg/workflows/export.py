"""`breastseg export`: a run as one ONNX file, for runtimes other than breastseg's own."""

from pathlib import Path

from breastseg.core.errors import InputError
from breastseg.io.atomic import make_folder, write_bytes
from breastseg.training.checkpoint import open_run
from breastseg.training.model import is_ensemble
from breastseg.workflows.calibrate import onnx_of


def export(run: Path, output: Path, *, overwrite: bool = False) -> Path:
    """Write a run's network as an ONNX file that says how its input is prepared.

    The file is the same each time; where it is there already, it stays.

    Args:
        run: a run folder of either framework; neither framework is needed.
        output: the file, usually called `*.onnx`.
        overwrite: replace a file of that name with other content.

    Returns:
        The file's path.

    Raises:
        RunFolderError, RecipeError, WeightsError: the run cannot be used.
        InputError: another file or a folder has that name.
        OutputError: it cannot be written.
    """
    if output.is_dir():
        raise InputError(f"{output}: expected a file name such as model.onnx, found a folder.")
    if is_ensemble(run):
        raise InputError(
            f"{run}: expected one run, found the folds of a cross-validation, which are several "
            f"networks. Export one of them, such as {run / 'fold-1'}."
        )
    opened = open_run(run)
    data = onnx_of(opened)
    if output.is_file() and not overwrite:
        if output.read_bytes() == data:
            return output
        raise InputError(
            f"{output}: another file has that name. Choose another --output, or replace it with "
            "--overwrite."
        )
    make_folder(output.parent)
    write_bytes(output, data)
    return output
