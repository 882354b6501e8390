"""What is measured of volumes and pictures, and that it is kept."""

from pathlib import Path

import numpy as np
import pytest

from breastseg.core.errors import GeometryError
from breastseg.core.fingerprint import Fingerprint
from breastseg.core.image import Case, Image
from breastseg.datasets.layouts import find_data_set
from breastseg.pipeline.fingerprint import describe_volume, measure


def block_case(order: list[int]) -> Case:
    """A scan of 2 x 1 x 0.5 mm (head, posterior, left) with a lesion of 8 voxels, in any order."""
    pixels = np.full((6, 8, 10), -1000.0, np.float32)
    pixels[:, 2:6, 2:8] = -50
    labels = np.zeros(pixels.shape, np.int32)
    labels[1:3, 3:5, 3:5] = 1
    pixels[labels > 0] = 40
    # Columns of the affine: head is LPS z, posterior y, left x.
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = (2, 1, 0.5)
    affine[3, 3] = 1
    return Case(
        case_id="block",
        image=Image(
            pixels=np.ascontiguousarray(pixels.transpose(order)), affine=affine[:, [*order, 3]]
        ),
        reference=np.ascontiguousarray(labels.transpose(order)),
    )


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 2, 0]])
def test_a_volume_is_measured_along_the_axes_of_the_patient(order: list[int]) -> None:
    facts = describe_volume(block_case(order))
    assert facts.spacing_mm == (2, 1, 0.5)
    assert facts.size_mm == (12, 8, 5)
    # 8 voxels of 1 mm3.
    assert facts.lesion_mm == (round((8 * 6 / np.pi) ** (1 / 3), 2),)
    assert facts.lesion_hu == (40, 40)
    # No breast in it: the values are those of the body.
    assert (facts.breast_mm, facts.num_in_breasts) == (None, 0)
    inside = 6 * 4 * 6
    assert facts.region_hu[0] == pytest.approx((-50 * (inside - 8) + 40 * 8) / inside, abs=0.1)


def test_a_volume_without_millimetres_is_refused() -> None:
    image = Image(pixels=np.zeros((2, 3, 4), np.float32))
    with pytest.raises(GeometryError, match="'x': a volume must say"):
        describe_volume(Case(case_id="x", image=image))


def test_what_was_measured_is_kept_by_content(
    busi_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BREASTSEG_CACHE", str(tmp_path / "cache"))
    told: list[int] = []

    def count(what: str, done: int, total: int) -> None:
        told.append(done)

    first = measure(find_data_set(busi_dir), count)
    assert told == [1, 2, 3, 4]
    assert [facts.size for facts in first.pictures] == [(12, 16)] * 4
    assert first.pictures[0].lesion_px == (round(2 * (12 / np.pi) ** 0.5, 2),)
    assert measure(find_data_set(busi_dir), count) == first
    assert told == [1, 2, 3, 4]
    mask = busi_dir / "malignant" / "malignant (1)_mask.png"
    mask.write_bytes((busi_dir / "normal" / "normal (1)_mask.png").read_bytes())
    assert measure(find_data_set(busi_dir), count) != first


def test_a_fingerprint_comes_back_from_its_document() -> None:
    facts = describe_volume(block_case([0, 1, 2]))
    found = Fingerprint(volumes=(facts,))
    assert Fingerprint.from_document(found.to_document()) == found
