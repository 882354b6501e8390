import numpy as np
import pytest

from breastseg.pipeline.tiles import logits_by_tiles, tile_corners, tile_weights

RANDOM = np.random.default_rng(0)


def _everywhere(shape: tuple[int, int, int]) -> np.ndarray:
    return np.ones(shape, bool)


@pytest.mark.parametrize("shape", [(9, 20, 17), (4, 30, 8), (3, 5, 7)])
def test_a_network_that_changes_nothing_gives_the_volume_back(shape: tuple[int, int, int]) -> None:
    volume = RANDOM.standard_normal(shape).astype(np.float32)
    found = logits_by_tiles(lambda tiles: tiles, volume, (4, 8, 8), wanted=_everywhere(shape))
    np.testing.assert_allclose(found, volume, atol=1e-5)


def test_tiles_without_a_wanted_voxel_are_not_run() -> None:
    wanted = np.zeros((8, 32, 32), bool)
    wanted[1, 2, 3] = True
    corners = list(tile_corners(wanted.shape, (4, 8, 8), 0.5, wanted))
    assert corners == [(0, 0, 0)]
    volume = np.ones(wanted.shape, np.float32)
    found = logits_by_tiles(lambda tiles: tiles, volume, (4, 8, 8), wanted=wanted)
    assert found[1, 2, 3] == pytest.approx(1)
    assert found[7, 31, 31] == np.finfo(np.float32).min


def test_every_wanted_voxel_is_in_a_tile_and_neighbours_overlap() -> None:
    covered = np.zeros((11, 50, 23), int)
    for slices, rows, columns in tile_corners(covered.shape, (4, 16, 8), 0.5, covered == 0):
        covered[slices : slices + 4, rows : rows + 16, columns : columns + 8] += 1
    assert covered.min() >= 1
    assert covered[5, 25, 12] >= 4


def test_the_centre_of_a_tile_counts_most() -> None:
    weights = tile_weights((8, 16, 16))
    assert weights.max() == weights[3, 7, 7] == weights[4, 8, 8]
    assert weights[0, 0, 0] == weights.min() > 0


def test_a_flat_network_sees_neighbouring_slices_as_channels() -> None:
    volume = np.broadcast_to(np.arange(5, dtype=np.float32)[:, None, None], (5, 8, 8)).copy()
    shapes = []

    def run(images: np.ndarray) -> np.ndarray:
        shapes.append(images.shape)
        return np.asarray(images.sum(axis=1, keepdims=True))

    found = logits_by_tiles(run, volume, (1, 8, 8), wanted=_everywhere(volume.shape), reach=1)
    assert set(shapes) == {(1, 3, 8, 8)}
    assert found[:, 0, 0].tolist() == [1, 3, 6, 9, 11]


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    logits_by_tiles(
        lambda tiles: tiles,
        np.zeros((4, 8, 16), np.float32),
        (4, 8, 8),
        wanted=_everywhere((4, 8, 16)),
        done=lambda number, count: told.append((number, count)),
    )
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_parts_have_tiles_of_their_own() -> None:
    parts = np.zeros((4, 8, 60), np.uint8)
    parts[:, :, :10], parts[:, :, 50:] = 1, 2
    apart = list(tile_corners(parts.shape, (4, 8, 16), 0.5, parts))
    together = list(tile_corners(parts.shape, (4, 8, 16), 0.5, parts > 0))
    assert apart == [(0, 0, 0), (0, 0, 44)]
    assert len(together) > len(apart)


def test_a_tile_lies_around_a_small_part() -> None:
    parts = np.zeros((4, 30, 30), np.uint8)
    parts[:, 14:18, 1:3] = 1
    assert list(tile_corners(parts.shape, (4, 8, 8), 0.5, parts)) == [(0, 12, 0)]
