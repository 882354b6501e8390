"""What a model finds in pictures as other machines and other ways to save them would show them.

The images that chose a run's epoch (or another part of its split) are changed one way after the
other, saved as PNG and predicted from there, with the masks moved along. The changes
are drawn here, not by the augmentation of trainings. A large change may make a lesion harder to
see for anybody.

    python benchmarks/changed_pictures.py RUN DATA --threads 2
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import breastseg
from breastseg.datasets.cases import read_case
from breastseg.datasets.layouts import find_data_set
from breastseg.evaluation.overlap import dice

Grey = np.ndarray
Mask = np.ndarray
Colours = np.ndarray
Changed = tuple[Colours | Grey, Mask]
Change = Callable[[Grey, Mask], Changed]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_GREEN, _YELLOW, _WHITE = (0, 255, 0), (255, 255, 0), (255, 255, 255)
_RED, _BLUE = (220, 40, 20), (20, 60, 220)


def in_colours(grey: Grey) -> Colours:
    """Return the picture as red, green and blue."""
    return np.repeat(grey[..., None], 3, axis=-1)


def tinted(*shares: float) -> Change:
    """Return a change that shows grey in another colour."""
    return lambda grey, mask: ((grey[..., None] * np.array(shares)).astype(np.uint8), mask)


def with_gamma(exponent: float) -> Change:
    """Return a change of the tone curve."""
    return lambda grey, mask: ((255 * (grey / 255) ** exponent).astype(np.uint8), mask)


def centre_of(mask: Mask) -> tuple[float, float]:
    """Return row and column of a lesion's centre, else of the picture's."""
    if mask.any():
        row, column = np.argwhere(mask).mean(axis=0)
        return float(row), float(column)
    return mask.shape[0] / 2, mask.shape[1] / 2


def with_calipers(grey: Grey, mask: Mask) -> Changed:
    """Measure the lesion, or the middle of a picture without one, in two directions."""
    picture = in_colours(grey)
    row, column = centre_of(mask)
    rows, columns = np.array([row - 40, row + 40]), np.array([column - 60, column + 60])
    if mask.any():
        rows, columns = np.nonzero(mask)
    across = [(columns.min(), row), (columns.max(), row)]
    along = [(column, rows.min()), (column, rows.max())]
    for ends in (across, along):
        for place in np.linspace(*ends, 25).round().astype(int).tolist():
            cv2.circle(picture, place, 1, _YELLOW, -1)
        for end in np.asarray(ends).round().astype(int).tolist():
            cv2.drawMarker(picture, end, _GREEN, cv2.MARKER_CROSS, 14, 2)
    for number, text in enumerate(("D1 14.2 mm", "D2 9.1 mm")):
        where = (5, grey.shape[0] - 10 - 18 * number)
        cv2.putText(picture, text, where, _FONT, 0.5, _YELLOW, 1)
    return picture, mask


def with_doppler(grey: Grey, mask: Mask) -> Changed:
    """Draw a box of colour Doppler about the lesion, with flow in a tenth of it."""
    picture, shape = in_colours(grey), np.array(grey.shape)
    centre = np.array(centre_of(mask))
    first = np.maximum(0, centre - 0.35 * shape).astype(int)
    last = np.minimum(shape - 1, centre + 0.35 * shape).astype(int)
    box = np.zeros(grey.shape, bool)
    box[first[0] : last[0], first[1] : last[1]] = True
    noise = np.random.default_rng(0).standard_normal(grey.shape)
    flow = cv2.GaussianBlur(noise, (0, 0), 7)
    flow /= flow.std()
    picture[box & (flow > 1.6)] = _RED
    picture[box & (flow < -1.6)] = _BLUE
    cv2.rectangle(picture, first[::-1].tolist(), last[::-1].tolist(), _WHITE, 1)
    return picture, mask


def on_screen(grey: Grey, mask: Mask) -> Changed:
    """Show the picture within a screen 1.5 times as high and 1.6 times as wide, with text."""
    rows, columns = grey.shape
    high, wide = int(1.5 * rows), int(1.6 * columns)
    top, left = (high - rows) // 2, (wide - columns) // 3
    inside = (slice(top, top + rows), slice(left, left + columns))
    screen, target = np.zeros((high, wide, 3), np.uint8), np.zeros((high, wide), bool)
    screen[inside], target[inside] = in_colours(grey), mask
    cv2.putText(screen, "HOSPITAL 2020-01-01 BREAST L", (10, 20), _FONT, 0.6, _WHITE, 1)
    for line in range(8):
        where = (wide - int(0.22 * wide), 40 + 25 * line)
        cv2.putText(screen, "FR 28Hz  M3 RS"[: 6 + line], where, _FONT, 0.5, _WHITE, 1)
    bar = np.linspace(255, 0, min(128, high // 3)).astype(np.uint8)
    screen[-len(bar) - 40 : -40, 10:22] = bar[:, None, None]
    return screen, target


def compressed(grey: Grey, mask: Mask) -> Changed:
    """Save as JPEG of quality 15."""
    data = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 15])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)), mask


def coarse(grey: Grey, mask: Mask) -> Changed:
    """Keep a third of the resolution."""
    small = cv2.resize(grey, None, fx=1 / 3, fy=1 / 3, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, grey.shape[::-1]), mask


def speckled(grey: Grey, mask: Mask) -> Changed:
    """Add speckle whose grains are a pixel or two wide."""
    noise = np.random.default_rng(0).standard_normal(grey.shape)
    grains = 1 + cv2.GaussianBlur(noise, (0, 0), 1)
    return np.clip(grey * grains, 0, 255).astype(np.uint8), mask


def zoomed(grey: Grey, mask: Mask) -> Changed:
    """Keep the part about the lesion, 0.7 times as high and wide."""
    shape = np.array(grey.shape)
    side = (0.7 * shape).astype(int)
    first = np.clip(np.array(centre_of(mask)) - side / 2, 0, shape - side).astype(int)
    part = tuple(slice(a, a + b) for a, b in zip(first, side, strict=True))
    return grey[part], mask[part]


def stretched(grey: Grey, mask: Mask) -> Changed:
    """Stretch the picture sideways by 1.35."""
    wide = cv2.resize(mask.astype(np.uint8), None, fx=1.35, fy=1)
    return cv2.resize(grey, None, fx=1.35, fy=1), wide > 0


CHANGES: dict[str, Change] = {
    "as it is": lambda grey, mask: (grey, mask),
    "tinted brown": tinted(1, 0.82, 0.6),
    "tinted blue": tinted(0.6, 0.8, 1),
    "calipers at the lesion, text": with_calipers,
    "box of colour Doppler": with_doppler,
    "screen with margins and text": on_screen,
    "darker (gamma 1.8)": with_gamma(1.8),
    "brighter (gamma 0.55)": with_gamma(0.55),
    "half the contrast": lambda grey, mask: ((grey / 2 + 40).astype(np.uint8), mask),
    "JPEG, quality 15": compressed,
    "a third of the resolution": coarse,
    "more speckle": speckled,
    "zoomed to 70 %": zoomed,
    "stretched by 1.35": stretched,
    "upside down": lambda grey, mask: (grey[::-1], mask[::-1]),
}


@dataclass
class Found:
    """Of one change: the Dice of each lesion image, and whether each other one was silent."""

    dice: list[float] = field(default_factory=list)
    silent: list[bool] = field(default_factory=list)

    def in_words(self) -> tuple[str, str, str, str]:
        """Return mean and median Dice, the share without overlap, and the silent pictures."""
        missed = np.mean([each == 0 for each in self.dice])
        return (
            f"{np.mean(self.dice):.3f}",
            f"{np.median(self.dice):.3f}",
            f"{missed:.1%}",
            f"{sum(self.silent)} of {len(self.silent)}",
        )


def main() -> None:
    """Predict all changes of all images, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="whose split says which images are taken")
    parser.add_argument("data", type=Path, help="the data set that it was trained on")
    parser.add_argument("--model", help="another model to ask, such as one exported from the run")
    parser.add_argument(
        "--part", default="validation", choices=("validation", "calibration", "test")
    )
    parser.add_argument("--threads", type=int)
    given = parser.parse_args()
    part = set(json.loads((given.run / "split.json").read_text())["parts"][given.part])
    cases = [case for case in find_data_set(given.data).cases if case.case_id in part]
    model = breastseg.load(given.model or given.run, threads=given.threads)
    found = {name: Found() for name in CHANGES}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        for each in track(cases, "predicting"):
            case = read_case(each)
            grey = np.clip(case.image.pixels[0], 0, 255).astype(np.uint8)
            for name, change in CHANGES.items():
                picture, mask = change(grey, case.reference[0] > 0)
                cv2.imwrite(str(path), picture[..., ::-1] if picture.ndim == 3 else picture)
                answer = model.predict(path).mask
                score = dice(answer, mask)
                if score is None:
                    found[name].silent.append(not answer.any())
                else:
                    found[name].dice.append(score)
    table = Table(title=f"{len(cases)} images, {given.part} part of {given.run.name}")
    for heading in ("picture", "Dice", "median", "no overlap", "silent without a lesion"):
        table.add_column(heading)
    for name, each in found.items():
        table.add_row(name, *each.in_words())
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
