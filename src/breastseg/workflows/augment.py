"""breastseg augment: see what a recipe's augmentation does to the images it trains on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from breastseg.core.errors import InputError
from breastseg.core.recipe import Recipe
from breastseg.datasets.cases import CaseFiles, read_case
from breastseg.datasets.layouts import find_data_set
from breastseg.io.atomic import make_folder, write_bytes
from breastseg.io.raster import encode_png
from breastseg.pipeline.augment import augment
from breastseg.pipeline.image_set import prepare_case
from breastseg.report.overlays import draw_overlay

Tile = UInt8[np.ndarray, "side side 3"]
TILE_SIDE = 192
_GAP = 6


def preview_augmentation(
    data: Path, recipe: Recipe, output: Path, *, num_cases: int = 6, num_variants: int = 7
) -> Path:
    """Write a contact sheet: a row per image, first as it is, then changed at random.

    The changes are those of training, at the network's resolution; the outline is the target.

    Args:
        data: a folder of a known layout, with reference masks.
        recipe: whose preprocessing, augmentation and seed are shown.
        output: the PNG file.
        num_cases: rows, spread evenly over the data set.
        num_variants: changed pictures in each row.

    Returns:
        The file's path.

    Raises:
        InputError: fewer than one row or variant, or no image with a reference.
        LayoutError, ImageFileError, ReferenceMaskError, GeometryError: the data.
        OutputError: the file cannot be written.
    """
    if num_cases < 1 or num_variants < 1:
        raise InputError(
            f"a preview needs at least one case and one variant, got {num_cases} and "
            f"{num_variants}."
        )
    drawn = [case for case in find_data_set(data).cases if case.mask_paths is not None]
    if not drawn:
        raise InputError(f"{data}: a preview shows targets, but no image has a reference mask.")
    chosen = np.unique(np.linspace(0, len(drawn) - 1, min(num_cases, len(drawn))).astype(int))
    rows = [_join(_tiles(drawn[index], recipe, num_variants), axis=1) for index in chosen.tolist()]
    make_folder(output.parent)
    write_bytes(output, encode_png(_join(rows, axis=0)))
    return output


def _tiles(files: CaseFiles, recipe: Recipe, num_variants: int) -> list[Tile]:
    case = prepare_case(read_case(files), recipe.preprocessing)
    target = case.target.astype(np.float32)
    pairs = [(case.image, target)]
    for number in range(num_variants):
        stream = np.random.default_rng([recipe.seed, number, *files.case_id.encode()])
        pairs.append(augment(case.image, target, recipe.augmentation, stream))
    return [
        draw_overlay(image, mask > 0, longer_side=TILE_SIDE, legend=False) for image, mask in pairs
    ]


def _join(tiles: Sequence[UInt8[np.ndarray, "rows columns 3"]], *, axis: int) -> Tile:
    """Put tiles side by side, or rows below each other, with a white gap."""
    shape = list(tiles[0].shape)
    shape[axis] = _GAP
    gap = np.full(shape, 255, np.uint8)
    parts = [part for tile in tiles for part in (tile, gap)]
    return np.concatenate(parts[:-1], axis=axis)
