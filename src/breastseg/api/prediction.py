"""What a model found in one scan: maps, measures, and the picture to look at."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self, cast

import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8

from breastseg.core.calibration import Bounds, ClassProbability
from breastseg.core.errors import InputError
from breastseg.core.image import Image
from breastseg.core.lesion import Lesion
from breastseg.inference import segment
from breastseg.inference.class_activation import MalignancyMap
from breastseg.io.raster import encode_png
from breastseg.report.bounds_overlays import draw_prediction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from breastseg.inference.segment_volume import VolumePrediction
    from breastseg.inference.volume_finding import VolumeFinding

_DPI = 100


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Prediction:
    """What a model found in one scan; a notebook shows it as its picture.

    All maps are on the scan's own grid: (rows, columns) of a picture, (slices, rows, columns) of
    a CT, in the order of the file.

    lesions: numbered from 1, the most probable first, with the measures of lesions.json;
        `lesion.to_document()` is what that file says. Millimetres are None where the spacing is
        not known. Of a CT, `finding.lesion` is measured in three dimensions.
    notes: what a reader should know of the scan, such as burnt-in text; of a CT also where
        lesions were looked for.
    notice: what every reader must know of the model; None where nothing.
    """

    lesions: "tuple[Lesion | VolumeFinding, ...]"
    notes: tuple[str, ...]
    notice: str | None
    found: "segment.Prediction | VolumePrediction"

    @classmethod
    def of_picture(
        cls, found: segment.Prediction, *, notes: tuple[str, ...], notice: str | None
    ) -> Self:
        """Wrap what was found in a picture."""
        told = (*notes, *found.image.in_words())
        return cls(lesions=found.lesions, notes=told, notice=notice, found=found)

    @classmethod
    def of_volume(
        cls, found: "VolumePrediction", *, notes: tuple[str, ...], notice: str | None
    ) -> Self:
        """Wrap what was found in a CT, with the place of each lesion in the breast."""
        # Whoever predicts pictures need not wait for what volumes need.
        from breastseg.inference.volume_finding import findings_of

        notes = (*notes, *found.in_words())
        return cls(lesions=findings_of(found), notes=notes, notice=notice, found=found)

    def __repr__(self) -> str:
        count, shape = len(self.lesions), " x ".join(map(str, self.labels.shape))
        return f"<breastseg.Prediction {self.case_id}: {count} lesion(s) in {shape}>"

    def _repr_png_(self) -> bytes:
        return encode_png(self.overlay())

    @property
    def case_id(self) -> str:
        """The case id of `breastseg predict`; "image" of what has no file."""
        return self.found.case_id

    @property
    def image(self) -> Image:
        """The scan as it was read, with its affine where it has one."""
        return self.found.image

    @property
    def threshold(self) -> float:
        """The operating threshold that the lesions reached, in (0, 1]."""
        return self.found.threshold

    @property
    def classes(self) -> ClassProbability:
        """The probability of each class of the whole picture; empty where the model tells none."""
        return self.found.classes if isinstance(self.found, segment.Prediction) else {}

    @cached_property
    def probability(self) -> Float32[np.ndarray, "*grid"]:
        """Lesion probability in [0, 1], calibrated where the model is; made when asked for."""
        return self._on_grid(self.found.probability)

    @property
    def outer_mask(self) -> Bool[np.ndarray, "rows columns"] | None:
        """Holds nearly all of the lesion, see docs/reference/calibration.md.

        None without a guarantee, and of a CT. Where the model abstains it is most of the picture.
        """
        bounds = self._bounds
        return None if bounds is None or bounds.outer is None else bounds.outer[0]

    @property
    def inner_mask(self) -> Bool[np.ndarray, "rows columns"] | None:
        """Nearly all of it is lesion; may be empty. None without a guarantee, and of a CT."""
        bounds = self._bounds
        return None if bounds is None or bounds.inner is None else bounds.inner[0]

    @property
    def abstains(self) -> bool:
        """Whether the outer mask is most of the picture: not sure, to a reader."""
        return self._bounds is not None and self._bounds.abstains

    @property
    def _bounds(self) -> Bounds | None:
        return self.found.bounds if isinstance(self.found, segment.Prediction) else None

    @property
    def malignancy(self) -> MalignancyMap | None:
        """Where the score for malignant comes from, place by place, and the score itself.

        None of a CT, and where the model tells no class malignant.
        """
        return self.found.malignancy if isinstance(self.found, segment.Prediction) else None

    @property
    def malignancy_map(self) -> Float32[np.ndarray, "rows columns"] | None:
        """What the place around each pixel adds to the log odds of malignant; None likewise.

        Coarse: bilinear between the places of `malignancy`, which alone add up to the score.
        """
        return None if self.malignancy is None else self.malignancy.on_image()

    @property
    def labels(self) -> Int32[np.ndarray, "*grid"]:
        """0 outside, the number of the lesion inside."""
        return self._on_grid(self.found.labels)

    @property
    def mask(self) -> Bool[np.ndarray, "*grid"]:
        """True inside any lesion."""
        return self.labels > 0

    def _on_grid(self, values: np.ndarray) -> np.ndarray:
        return values[0] if isinstance(self.found, segment.Prediction) else values

    def overlay(self, lesion: int = 1) -> UInt8[np.ndarray, "rows columns 3"]:
        """Return the picture that `breastseg predict` writes, red, green and blue.

        Args:
            lesion: of a CT, the number of the one that the three planes go through; planes
                through the middle where nothing was found. A picture shows all its lesions.

        Raises:
            InputError: a CT has no lesion of that number.
        """
        if isinstance(self.found, segment.Prediction):
            pixels, mask = self.found.image.pixels[0], self.found.mask[0]
            return draw_prediction(pixels, mask, self.found.lesions, self.found.bounds)
        return _planes(self.found, lesion)

    def malignancy_overlay(self) -> UInt8[np.ndarray, "rows columns 3"]:
        """Return the picture that `breastseg predict --explain` writes beside the overlay.

        Raises:
            InputError: the model tells no class malignant, or the scan is a CT.
        """
        # Whoever asks for no explanation need not wait for what draws it.
        from breastseg.report.malignancy_overlays import draw_malignancy

        if self.malignancy is None:
            raise InputError(
                f"case '{self.case_id}': the model tells no class malignant of it, so there is no "
                "score to explain. `classes` names those that it tells."
            )
        return draw_malignancy(self.image.pixels[0], self.mask, self.malignancy)

    def plot(
        self, axes: "Axes | None" = None, *, lesion: int = 1, malignancy: bool = False
    ) -> "Figure":
        """Draw `overlay` with matplotlib, into a new figure of pyplot unless axes are given.

        Args:
            axes: where to draw.
            lesion: as of `overlay`.
            malignancy: draw `malignancy_overlay` in its stead.

        Raises:
            InputError: a CT has no lesion of that number, or as of `malignancy_overlay`.
        """
        from matplotlib import pyplot

        picture = self.malignancy_overlay() if malignancy else self.overlay(lesion)
        if axes is None:
            rows, columns, _ = picture.shape
            drawn = pyplot.figure(figsize=(columns / _DPI, rows / _DPI), dpi=_DPI)
            axes = drawn.add_axes((0, 0, 1, 1))
        axes.imshow(picture)
        axes.set_axis_off()
        return cast("Figure", axes.figure)


def _planes(found: "VolumePrediction", number: int) -> UInt8[np.ndarray, "rows columns 3"]:
    from breastseg.report.volume_planes import Viewer
    from breastseg.report.volume_views import Style, lesion_picture, middle_picture

    viewer, style = Viewer.of(found.image, found.labels), Style(by_model=True)
    if not found.lesions and number == 1:
        return middle_picture(viewer, style)
    if not 1 <= number <= len(found.lesions):
        raise InputError(
            f"case '{found.case_id}': expected the number of a lesion, 1 to "
            f"{len(found.lesions)}, got {number}."
        )
    return lesion_picture(viewer, found.lesions[number - 1], style)
