"""`breastseg export --int8`: a run as a model in 8 bits, refused where it costs accuracy."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from breastseg.core.errors import AccuracyError, InputError, RunFolderError
from breastseg.datasets.cases import CaseFiles, DataSet, read_case
from breastseg.datasets.layouts import find_data_set
from breastseg.inference.int8 import Int8Network, import_nncf, quantise
from breastseg.inference.runtime import Precision, has_bfloat16
from breastseg.inference.segment import Segmenter
from breastseg.networks.output import Images
from breastseg.pipeline.preprocess import pad_to_stride, prepare_image
from breastseg.training.checkpoint import Run, open_run, require_new
from breastseg.training.int8_file import save_int8
from breastseg.training.model import is_ensemble
from breastseg.workflows.calibrate import onnx_of, require_own_images
from breastseg.workflows.int8_check import Agreement, compare_on, speed_of
from breastseg.workflows.model_card import Told
from breastseg.workflows.progress import Reading, silent_reading
from breastseg.workflows.slim_model import begin_model, finish_model

MAX_FALL = 0.005
"""Of the mean Dice on the validation part: where it falls by more, no model is written."""
NUM_IMAGES = 300
"""Training images whose values set the ranges of the 8 bits; NNCF's own default."""

_TRIES = ((False, False), (True, False), (True, True))
"""Whether ranges are asymmetric, and whether the ends of the network stay in float."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rounded:
    """A network in 8 bits that finds what the float one does, and what it took."""

    network: Int8Network
    agreement: Agreement
    asymmetric: bool
    kept: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Int8Export:
    """A model in 8 bits that was written. figures: of int8.json."""

    model: Path
    figures: dict[str, Any]


def int8_model(
    run: Path,
    output: Path,
    *,
    data: Path | None = None,
    description: str = "",
    threads: int | None = None,
    reading: Reading = silent_reading,
) -> Int8Export:
    """Write a model folder whose network is in 8 bits, and say what that costs and gains.

    Ranges are set on images of the training part. On the validation part float32 and 8 bits are
    compared by the same runtime, threshold and measures. Where the mean Dice falls too far,
    ranges are asymmetric, then the first and the last convolution stay in float, too; where that
    is not enough, nothing is written.
    Temperature and thresholds stay those of the float weights.

    Args:
        run: a run folder of either framework, for pictures; neither framework is needed.
        output: a new or empty folder; its name is that of the model.
        data: the data set that it was trained on; where it lay then, where None.
        description: what the model is for, in a sentence, for the card.
        threads: of the CPU; None takes all.
        reading: told of the progress.

    Raises:
        AccuracyError: the mean Dice falls by more than MAX_FALL.
        MissingExtraError: NNCF is not installed.
        InputError: folds, a model of volumes, or no validation image with a lesion.
        RunFolderError, RecipeError, WeightsError: the run cannot be used, keeps no record of its
            images, or the data set is not the one that it was trained on.
        LayoutError, ImageFileError, ReferenceMaskError, GeometryError: the data.
        OutputError: the model cannot be written.
    """
    opened = _open(run)
    require_new(output)
    import_nncf()
    data_set = find_data_set(data or Path(opened.environment["data"]))
    for part in ("train", "validation"):
        require_own_images(opened, data_set, part)
    images = _prepared(opened, data_set, reading)
    rounded = _rounded(opened, data_set, images, threads, reading)
    network = rounded.network
    figures = {
        "trained_fingerprint": opened.fingerprint,
        "num_images": len(images),
        "asymmetric": rounded.asymmetric,
        "kept_in_float": list(rounded.kept),
        "validation": rounded.agreement.to_document(),
        "bytes_float32": opened.weights_path.stat().st_size,
        "bytes_int8": len(network.model) + len(network.weights),
        "speed": _speed(opened, network, images[0], threads),
    }
    slim = begin_model(opened, output)
    save_int8(output, network, figures)
    finish_model(slim, opened, Told(description=description))
    return Int8Export(model=output, figures=figures)


def _open(run: Path) -> Run:
    """Open a run that can be rounded, and refuse all else before any work is done."""
    if is_ensemble(run):
        raise InputError(
            f"{run}: expected one run, found the folds of a cross-validation. Export one of "
            f"them, such as {run / 'fold-1'}."
        )
    opened = open_run(run)
    if opened.recipe.volume is not None:
        raise InputError(
            f"{run}: 8 bits are for models of pictures, and this one is for CT volumes: what "
            "they cost there has not been measured. Use `predict --precision bfloat16`."
        )
    opened.weights()
    if not all(opened.split.parts.get(part) for part in ("train", "validation")):
        raise RunFolderError(
            f"{run}: expected a run that knows its training and validation images, found none of "
            "them: a model that was exported does not. Give the run that it was made from."
        )
    return opened


def drawn_evenly(cases: Sequence[CaseFiles], count: int, seed: int) -> list[CaseFiles]:
    """Draw cases so that each class has the same share, as far as there are so many of it."""
    stream = np.random.default_rng(seed)
    by_class: dict[str | None, list[CaseFiles]] = defaultdict(list)
    for place in stream.permutation(len(cases)):
        by_class[cases[place].label].append(cases[place])
    classes = [by_class[label] for label in sorted(by_class, key=str)]
    drawn: list[CaseFiles] = []
    while len(drawn) < min(count, len(cases)):
        drawn += [each.pop() for each in classes if each]
    return drawn[:count]


def _prepared(run: Run, data_set: DataSet, reading: Reading) -> list[Images]:
    """Read and prepare training images, as for a prediction: nothing is augmented."""
    cases = drawn_evenly(data_set.only(run.split.parts["train"]), NUM_IMAGES, run.recipe.seed)
    images = []
    for done, files in enumerate(cases, start=1):
        prepared, _ = prepare_image(read_case(files).image, run.recipe.preprocessing)
        images.append(pad_to_stride(prepared[None], run.recipe.network.stride))
        reading("Reading", done, len(cases))
    return images


def _rounded(
    run: Run,
    data_set: DataSet,
    images: Sequence[Images],
    threads: int | None,
    reading: Reading,
) -> _Rounded:
    """Return the first network in 8 bits that finds what the float one does."""
    cases = data_set.only(run.split.parts["validation"])
    if not any(files.mask_paths for files in cases):
        raise InputError(
            f"{run.path}: its validation part has no image with a lesion, so that nobody can say "
            "what 8 bits cost. Train with a larger split.validation."
        )
    source, tried = onnx_of(run), []
    for asymmetric, float_ends in _TRIES:
        network, kept = quantise(
            source,
            images,
            asymmetric=asymmetric,
            float_ends=float_ends,
            seen=lambda number: reading("Rounding to 8 bits", number, len(images)),
        )
        pair = (_segmenter(run, threads, "float32"), _segmenter(run, threads, "int8", network))
        found = compare_on(cases, pair, threshold=run.operating_threshold, reading=reading)
        _log.info("mean Dice %.4f in float32, %.4f in 8 bits; float: %s", *found.dice, kept)
        if found.fall <= MAX_FALL:
            return _Rounded(network=network, agreement=found, asymmetric=asymmetric, kept=kept)
        tried.append(found)
    raise _too_costly(run, tried)


def _too_costly(run: Run, tried: Sequence[Agreement]) -> AccuracyError:
    falls = " and ".join(f"{found.dice[1]:.4f}" for found in tried)
    return AccuracyError(
        f"{run.path}: in 8 bits the mean Dice of the {tried[0].num_lesion_images} validation "
        f"images with a lesion falls from {tried[0].dice[0]:.4f} to {falls} (symmetric ranges; "
        "asymmetric ones; these, with the first and the last layer left in float): by more than "
        f"{MAX_FALL}. No model was written. `predict --precision bfloat16` needs no export and "
        "costs less, where the processor has it."
    )


def _segmenter(
    run: Run, threads: int | None, precision: Precision, network: Int8Network | None = None
) -> Segmenter:
    opened = Segmenter.open(
        run.recipe,
        run.weights() if network is None else network,
        threads=threads,
        precision=precision,
    )
    return opened.calibrated(run.calibration)


def _speed(run: Run, network: Int8Network, image: Images, threads: int | None) -> dict[str, Any]:
    floats: list[Precision] = ["float32", "bfloat16"] if has_bfloat16() else ["float32"]
    networks = {each: _segmenter(run, threads, each).runtime for each in floats}
    networks["int8"] = _segmenter(run, threads, "int8", network).runtime
    return speed_of(networks, image, threads=threads)
