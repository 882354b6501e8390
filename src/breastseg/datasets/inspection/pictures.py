"""Simple facts of one picture, and which pictures are not what the rest is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, Float64

from breastseg.datasets.inspection.findings import Finding
from breastseg.datasets.inspection.marks import Marks, find_marks
from breastseg.io.raster import Colours

Grey = Float32[np.ndarray, "rows columns"]

_MIN_IMAGES = 20
_NORMAL_MAD = 1.4826
_FAR = 5.0
_RARE = 0.01
_MIN_DOUBLINGS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureFacts:
    """What is measured of a picture.

    lowest, highest: grey values in the unit of the file.
    brightness, contrast: mean and standard deviation of the grey values, of the range.
    sharpness: mean change between neighbours over the contrast: of speckle about 0.2.
    """

    num_rows: int
    num_columns: int
    lowest: float
    highest: float
    brightness: float
    contrast: float
    sharpness: float
    marks: Marks

    @property
    def range(self) -> int:
        """The largest value of the depth that the grey values need: 1, 255 or 65535."""
        return int(grey_range(self.highest))

    def to_document(self) -> dict[str, Any]:
        """Return what inspection.json says of it."""
        return {
            "size": [self.num_rows, self.num_columns],
            "lowest": self.lowest,
            "highest": self.highest,
            "brightness": round(self.brightness, 4),
            "contrast": round(self.contrast, 4),
            "sharpness": round(self.sharpness, 4),
            "crosses": self.marks.num_crosses,
            "letters": self.marks.num_letters,
            "coloured": round(self.marks.coloured, 6),
        }


def grey_range(highest: float) -> float:
    """Return the largest value of the depth that grey values up to `highest` need.

    >>> grey_range(0.5), grey_range(200), grey_range(256), grey_range(70_000)
    (1.0, 255.0, 65535.0, 70000)
    """
    return next((top for top in (1.0, 255.0, 65535.0) if highest <= top), highest)


def describe_picture(grey: Grey, colours: Colours | None) -> PictureFacts:
    """Measure a picture.

    Args:
        grey: values in the unit of the file.
        colours: red, green and blue; None where it is stored grey.
    """
    lowest, highest = float(grey.min()), float(grey.max())
    top = grey_range(highest)
    shown = grey * np.float32(255 / top)
    contrast = float(shown.std())
    changes = np.abs(cv2.Laplacian(shown, cv2.CV_32F)).mean() / 4
    return PictureFacts(
        num_rows=grey.shape[0],
        num_columns=grey.shape[1],
        lowest=lowest,
        highest=highest,
        brightness=float(shown.mean()) / 255,
        contrast=contrast / 255,
        sharpness=float(changes) / max(contrast, 1e-6),
        marks=find_marks(shown, colours),
    )


def odd_pictures(case_ids: Sequence[str], facts: Sequence[PictureFacts]) -> list[Finding]:
    """Find pictures that are not what the rest is, by simple measures.

    A picture is odd where a measure is further from the median than 5 times the standard
    deviation that the median absolute deviation stands for, and where at most one in a hundred
    pictures lies that close to its value: those of a second scanner are a rest of their own.
    Fewer than 20 pictures have no rest to speak of.

    Source: Rousseeuw and Croux 1993, JASA 88(424):1273-1283 (the median absolute deviation).
    """
    if len(facts) < _MIN_IMAGES:
        return []
    findings = _odd_ranges(case_ids, facts)
    for code, name, values, digits in _measures(facts):
        middle = float(np.median(values))
        spread = _NORMAL_MAD * float(np.median(np.abs(values - middle)))
        # A set of nearly equal values has no spread: then a tenth, or half a doubling, is far.
        floor = _MIN_DOUBLINGS if code == "odd-size" else max(0.02 * abs(middle), 1e-3)
        limit = _FAR * max(spread, floor)
        findings += [
            Finding(
                code=code,
                cases=(case_ids[index],),
                message=f"{name} {values[index]:.{digits}f}, where the median is "
                f"{middle:.{digits}f} and {middle - limit:.{digits}f} to "
                f"{middle + limit:.{digits}f} is usual.",
            )
            for index in np.flatnonzero(np.abs(values - middle) > limit).tolist()
            if np.count_nonzero(np.abs(values - values[index]) <= limit / _FAR)
            <= max(1, _RARE * len(values))
        ]
    return findings


def _measures(
    facts: Sequence[PictureFacts],
) -> list[tuple[str, str, Float64[np.ndarray, " images"], int]]:
    """Return code, name, values and digits; lengths by their logarithm, as they multiply."""
    rows = np.array([each.num_rows for each in facts], np.float64)
    columns = np.array([each.num_columns for each in facts], np.float64)
    return [
        ("odd-size", "log2 of the pixels", np.log2(rows * columns), 2),
        ("odd-size", "log2 of width over height", np.log2(columns / rows), 2),
        ("odd-brightness", "brightness", np.array([each.brightness for each in facts]), 3),
        ("odd-contrast", "contrast", np.array([each.contrast for each in facts]), 3),
        ("odd-sharpness", "sharpness", np.array([each.sharpness for each in facts]), 3),
    ]


def _odd_ranges(case_ids: Sequence[str], facts: Sequence[PictureFacts]) -> list[Finding]:
    """Find the pictures of another depth than most."""
    ranges = np.array([each.range for each in facts])
    usual, counts = np.unique(ranges, return_counts=True)
    common = int(usual[counts.argmax()])
    return [
        Finding(
            code="odd-range",
            cases=(case_ids[index],),
            message=f"Grey values up to {facts[index].highest:g}, where most images have "
            f"values up to {common}.",
        )
        for index in np.flatnonzero(ranges != common).tolist()
    ]
