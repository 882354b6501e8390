"""`breastseg phantom`: data sets of phantoms, to try and test with."""

from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

from breastseg.datasets.phantom_ct.phantom import PhantomSettings, make_phantom_ct
from breastseg.datasets.phantom_ct.writing import (
    Format,
    read_written,
    write_description,
    write_phantom,
)
from breastseg.datasets.phantom_ultrasound import write_phantoms
from breastseg.io.worker_processes import CONTEXT, begin_worker, sheltered_start
from breastseg.workflows.phantom_folder import (
    begin_folder,
    is_whole,
    require_empty,
    require_numbers,
)
from breastseg.workflows.progress import Reading, silent_reading


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
    require_numbers(num_cases, seed)
    require_empty(output)
    write_phantoms(output, num_cases=num_cases, seed=seed)
    return output


def make_ct_phantoms(
    output: Path,
    *,
    num_cases: int = 12,
    seed: int = 0,
    kind: Format = "dicom",
    settings: PhantomSettings | None = None,
    workers: int = 1,
    progress: Reading = silent_reading,
) -> Path:
    """Write a data set of chest CT phantoms with breasts, lesions and their truth.

    Args:
        output: a new or empty folder, or one that the same call began: whole cases are kept.
        num_cases: every fourth is prone, every sixth has no lesion.
        seed: the same seed gives the same files; more cases leave the first ones as they are.
        kind: "dicom" for series with a Segmentation, "nifti" for nnU-Net raw.
        settings: what is fixed of all phantoms.
        workers: processes; the files are the same with any number.
        progress: is told how many are done, and of how many.

    Returns:
        The folder, ready for `find_data_set`; the truth lies in its folder truth/.

    Raises:
        InputError: num_cases or seed is out of range.
        OutputError: the folder holds something else, or cannot be written.
    """
    require_numbers(num_cases, seed)
    fixed = settings or PhantomSettings()
    begin_folder(output, {"kind": "phantom", "format": kind, "seed": seed, **asdict(fixed)})
    missing = [index for index in range(num_cases) if not is_whole(output, _case_id(index))]
    done = num_cases - len(missing)
    for _ in _made(output, missing, seed, kind, fixed, min(workers, len(missing))):
        done += 1
        progress("phantoms", done, num_cases)
    write_description(output, read_written(output), kind)
    return output


def _made(
    output: Path,
    indices: list[int],
    seed: int,
    kind: Format,
    settings: PhantomSettings,
    workers: int,
) -> Iterator[None]:
    """Make cases, in any order; yield after each."""
    if workers < 2:
        for index in indices:
            _make(output, index, seed, kind, settings)
            yield
        return
    pool = ProcessPoolExecutor(workers, CONTEXT, initializer=begin_worker)
    try:
        with sheltered_start():
            jobs: list[Future[None]] = [
                pool.submit(_make, output, index, seed, kind, settings) for index in indices
            ]
        for job in as_completed(jobs):
            job.result()
            yield
    finally:
        pool.shutdown(cancel_futures=True)


def _make(output: Path, index: int, seed: int, kind: Format, settings: PhantomSettings) -> None:
    write_phantom(output, make_phantom_ct(seed, index, settings), _case_id(index), seed, kind)


def _case_id(index: int) -> str:
    return f"phantom-{index + 1:04d}"
