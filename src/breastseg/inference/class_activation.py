"""Where in an image the score for malignant comes from: an exact sum, not an estimate.

The class logits are a linear function of the mean of the latent features, so each place of the
latent level has its own share in them (class-activation map). Source: Zhou et al. 2016, Learning
Deep Features for Discriminative Localization, section 2. What it can tell and what not is in
docs/decisions/0029-class-activation-maps.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float32

from breastseg.core.calibration import Values
from breastseg.networks.classification import BENIGN, MALIGNANT
from breastseg.pipeline.preprocess import Letterbox, Plane

OTHERS = "the other classes"

Places = Float32[np.ndarray, "place_rows place_columns"]
ClassMap = Float32[np.ndarray, "classes place_rows place_columns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MalignancyMap:
    """What each place of the latent level adds to the score for malignant, in log odds.

    `places` and `bias` add up to `score`. That is the logarithm of the calibrated probability of
    malignant over that of benign; of an ensemble the mean of its members'.

    places: above 0 for malignant, below 0 against it. A place stands for a square of as many
        pixels of the network's input as its stride, though it sees more around it.
    score: log odds of malignant against `against`. bias: its part that is the same for every image.
    against: benign; where the network does not tell that, the other classes, by the mean of
        their logits.
    letterbox, stride: from the image to the places.
    """

    places: Places
    score: float
    bias: float
    against: str
    letterbox: Letterbox
    stride: tuple[int, ...]

    @classmethod
    def of(
        cls,
        class_map: ClassMap,
        class_logits: Values,
        names: Sequence[str],
        *,
        temperature: float,
        letterbox: Letterbox,
        stride: tuple[int, ...],
    ) -> "MalignancyMap | None":
        """Make it of what a network says of one image; None where it tells nothing of malignant.

        Args:
            class_map: of networks.output.NetworkOutput.
            class_logits: one for each class. names: of the classes.
            temperature: of the classes, above 0.
        """
        if MALIGNANT not in names:
            return None
        against = BENIGN if BENIGN in names else OTHERS
        contrast = _contrast(names, against) / temperature
        density = np.tensordot(contrast, class_map.astype(np.float64), axes=1)
        score = float(contrast @ class_logits)
        return cls(
            places=np.asarray(density / density.size, np.float32),
            score=score,
            bias=score - float(density.mean()),
            against=against,
            letterbox=letterbox,
            stride=stride,
        )

    @classmethod
    def mean(cls, maps: "Sequence[MalignancyMap | None]") -> "MalignancyMap | None":
        """Return the mean of what the members of an ensemble say of one image; None of nothing."""
        found = [each for each in maps if each is not None]
        if len(found) < 2:
            return found[0] if found else None
        return replace(
            found[0],
            places=np.asarray(np.mean([each.places for each in found], axis=0), np.float32),
            score=float(np.mean([each.score for each in found])),
            bias=float(np.mean([each.bias for each in found])),
        )

    @property
    def margin(self) -> float:
        """What comes from the empty margin that makes the image a square, in log odds."""
        box, (row_step, column_step) = self.letterbox, self.stride
        rows = _covered(box.top, box.scaled_rows, row_step, self.places.shape[0])
        columns = _covered(box.left, box.scaled_columns, column_step, self.places.shape[1])
        return float(self.places.sum() - rows @ self.places @ columns)

    @property
    def has_margin(self) -> bool:
        """Whether the places reach beyond the image."""
        box, (row_step, column_step) = self.letterbox, self.stride
        rows, columns = self.places.shape
        return (box.scaled_rows, box.scaled_columns) != (rows * row_step, columns * column_step)

    @property
    def pixels_per_place(self) -> float:
        """Side of the square that a place stands for, in pixels of the image."""
        return max(self.stride) * self.letterbox.rows / self.letterbox.scaled_rows

    def on_image(self) -> Plane:
        """Return the contributions on the image's grid (rows, columns), bilinear between places.

        Beyond the scan they are 0.

        A pixel tells the contribution of the place around it, not its own.
        """
        box, (row_step, column_step) = self.letterbox, self.stride
        rows = _between(box.rows, box.top, box.scaled_rows, row_step, self.places.shape[0])
        columns = _between(
            box.columns, box.left, box.scaled_columns, column_step, self.places.shape[1]
        )
        return box.placed(np.asarray(rows @ self.places @ columns.T, np.float32))

    def to_document(self) -> dict[str, Any]:
        """Return its part of lesions.json, in log odds."""
        return {
            "against": self.against,
            "score": round(self.score, 4),
            "bias": round(self.bias, 4),
            "margin": round(self.margin, 4),
        }


def _contrast(names: Sequence[str], against: str) -> np.ndarray:
    """Return the weight of each class in the score; together 0."""
    malignant = np.array([name == MALIGNANT for name in names], np.float64)
    others = np.array([name == BENIGN for name in names]) if against == BENIGN else 1 - malignant
    return np.asarray(malignant - others / others.sum())


def _covered(start: int, length: int, step: int, count: int) -> np.ndarray:
    """Return the share of each place along an axis that lies inside the image."""
    edges = np.clip(np.arange(count + 1) * step, start, start + length)
    return np.asarray(np.diff(edges) / step)


def _between(size: int, start: int, length: int, step: int, count: int) -> np.ndarray:
    """Return the weight of each place (column) at each pixel of an axis (row), linear between.

    >>> _between(4, 0, 4, 2, 2).round(2).tolist()
    [[1.0, 0.0], [0.75, 0.25], [0.25, 0.75], [0.0, 1.0]]
    """
    position = (start + (np.arange(size) + 0.5) * length / size) / step - 0.5
    inside = np.clip(position, 0, count - 1)
    return np.maximum(0.0, 1.0 - np.abs(inside[:, None] - np.arange(count)))
