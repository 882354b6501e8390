"""The first part of a training: from cases on disk to what the loop draws from."""

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from breastseg.core.recipe import Recipe
from breastseg.core.volume_recipe import VolumePreprocessing
from breastseg.datasets.cases import CaseFiles, read_case
from breastseg.io.cache import cache_dir
from breastseg.io.raster import file_sha256
from breastseg.pipeline.case_sets import TrainingSet, ValidationSet
from breastseg.pipeline.image_set import ImageSet, prepare_case
from breastseg.pipeline.volume_preparation import prepare_volume
from breastseg.pipeline.volume_sets import VolumePatches, WholeVolumes
from breastseg.pipeline.volume_store import PreparedVolume, save_volume, volume_key
from breastseg.workflows.image_classes import class_number, lesion_free_class
from breastseg.workflows.progress import Reading

log = logging.getLogger(__name__)

Parts = tuple[Sequence[CaseFiles], Sequence[CaseFiles]]
Sets = tuple[TrainingSet, ValidationSet]


@contextlib.contextmanager
def prepared_sets(
    parts: Parts, recipe: Recipe, content: Mapping[str, str], reading: Reading
) -> Iterator[Sets]:
    """Prepare the training and the validation part for as long as the context lasts.

    Images are kept in memory. Volumes are written to the cache, where another training with the
    same grid, window and region finds them; or, with the cache switched off, to a temporary
    folder.

    Args:
        content: SHA-256 of each image by case id.
        reading: told of the progress.

    Raises:
        ImageFileError, ReferenceMaskError, GeometryError: the data.
        OutputError: a prepared volume cannot be written.
    """
    if recipe.volume is None:
        train, validation = (_images(part, recipe, _told(n), reading) for n, part in _each(parts))
        yield train, validation
        return
    with contextlib.ExitStack() as stack:
        cache = cache_dir()
        if cache is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="breastseg-")))
        else:
            folder = cache / "volumes"
        volumes = [
            _volumes(part, recipe.volume, content, folder, _told(n), reading)
            for n, part in _each(parts)
        ]
        reach = recipe.network.input_channels // 2 if recipe.network.dimensions == 2 else None
        yield (
            VolumePatches(volumes[0], recipe.volume, reach),
            WholeVolumes(volumes[1], recipe.volume, reach),
        )


def _each(parts: Parts) -> Iterator[tuple[int, Sequence[CaseFiles]]]:
    return iter(enumerate(parts))


def _told(number: int) -> str:
    return f"Reading the {('training', 'validation')[number]} part"


def _images(cases: Sequence[CaseFiles], recipe: Recipe, what: str, reading: Reading) -> ImageSet:
    prepared = []
    for done, files in enumerate(cases, start=1):
        label = class_number(files, recipe.network.classes)
        prepared.append(prepare_case(read_case(files), recipe.preprocessing, label))
        reading(what, done, len(cases))
    return ImageSet(prepared, lesion_free_class(recipe.network.classes))


def _volumes(
    cases: Sequence[CaseFiles],
    preprocessing: VolumePreprocessing,
    content: Mapping[str, str],
    folder: Path,
    what: str,
    reading: Reading,
) -> list[PreparedVolume]:
    """Prepare volumes one after the other, so that one is in memory at a time."""
    prepared = []
    for done, files in enumerate(cases, start=1):
        masks = sorted(file_sha256(path) for path in files.mask_paths or ())
        key = volume_key([content[files.case_id], *masks], preprocessing)
        volume = PreparedVolume.open(folder / key)
        if volume is None:
            volume = save_volume(prepare_volume(read_case(files), preprocessing), folder / key)
        for note in volume.notes:
            log.warning("case '%s': %s", files.case_id, note)
        prepared.append(volume)
        reading(what, done, len(cases))
    return prepared
