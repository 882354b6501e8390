"""Random changes of training images, drawn from the case's own random stream."""

import cv2
import numpy as np
from jaxtyping import Float32

from breastseg.core.recipe import Augmentation
from breastseg.pipeline.appearance import black_margin, degrade
from breastseg.pipeline.inpainting import inpaint_beside, inpaint_lesion
from breastseg.pipeline.lesion_free import lesion_free_part
from breastseg.pipeline.screen import draw_doppler, draw_marks, show_on_screen

Square = Float32[np.ndarray, "size size"]
Values = Float32[np.ndarray, "*space"]


def augment(
    image: Square, mask: Square, augmentation: Augmentation, stream: np.random.Generator
) -> tuple[Square, Square]:
    """Return a changed copy of a standardised image and its mask (0 or 1).

    Where the picture is moved in from outside, it is 0, as padding is, and stays so, unless it
    gets a black margin.

    Args:
        image: values of mean 0 and standard deviation 1.
        mask: 1 inside a lesion; moved with the image, nearest neighbour.
        augmentation: how much of each change.
        stream: the case's own random numbers; the same stream gives the same change.
    """
    if augmentation.lesion_free and mask.any() and stream.random() < augmentation.lesion_free:
        image, mask = lesion_free_part(image, mask, stream)
    if augmentation.inpaint and mask.any() and stream.random() < augmentation.inpaint:
        image, mask = inpaint_lesion(image, mask, stream)
    beside = augmentation.inpaint_beside
    if beside and mask.any() and stream.random() < beside:
        image = inpaint_beside(image, mask, stream)
    image, mask = _move(image, mask, augmentation, stream)
    if augmentation.margin and stream.random() < augmentation.margin:
        image = black_margin(image)
    if augmentation.doppler and stream.random() < augmentation.doppler:
        image = draw_doppler(image, stream)
    if augmentation.screen and stream.random() < augmentation.screen:
        image, mask = show_on_screen(image, mask, stream)
    inside = image != 0
    image = degrade(image, augmentation, stream)
    image = np.where(inside, change_intensity(image, augmentation, stream), 0).astype(np.float32)
    if augmentation.marks and stream.random() < augmentation.marks:
        image = draw_marks(image, mask, stream)
    return _cut_out(image, augmentation.cutout, stream), mask


def _move(
    image: Square, mask: Square, augmentation: Augmentation, stream: np.random.Generator
) -> tuple[Square, Square]:
    """Move image and mask alike: one interpolation for all movements together."""
    size = image.shape[0]
    matrix = _affine(size, augmentation, stream)
    if not augmentation.elastic:
        shape = (size, size)
        moved = cv2.warpAffine(image, matrix, shape, flags=cv2.INTER_LINEAR)
        target = cv2.warpAffine(mask, matrix, shape, flags=cv2.INTER_NEAREST)
    else:
        column, row = _sources(size, matrix, augmentation.elastic, stream)
        moved = cv2.remap(image, column, row, cv2.INTER_LINEAR)
        target = cv2.remap(mask, column, row, cv2.INTER_NEAREST)
    return np.asarray(moved, np.float32), np.asarray(target, np.float32)


def _sources(
    size: int, matrix: Float32[np.ndarray, "2 3"], elastic: float, stream: np.random.Generator
) -> tuple[Square, Square]:
    """Return the column and row that each pixel comes from.

    The displacement is drawn on a grid of 5 x 5 points and interpolated smoothly between
    them, as in Ronneberger et al. 2015, section 3.1.
    """
    inverse = cv2.invertAffineTransform(matrix)
    row, column = np.mgrid[:size, :size].astype(np.float32)
    limit = size * elastic * stream.random()
    points = stream.uniform(-limit, limit, (5, 5, 2)).astype(np.float32)
    local = cv2.resize(points, (size, size), interpolation=cv2.INTER_CUBIC)
    from_column = inverse[0, 0] * column + inverse[0, 1] * row + inverse[0, 2] + local[..., 0]
    from_row = inverse[1, 0] * column + inverse[1, 1] * row + inverse[1, 2] + local[..., 1]
    return from_column.astype(np.float32), from_row.astype(np.float32)


def _affine(
    size: int, augmentation: Augmentation, stream: np.random.Generator
) -> Float32[np.ndarray, "2 3"]:
    """Draw flip, rotation, scale, aspect and shift about the centre, for cv2.warpAffine."""
    angle = np.deg2rad(augmentation.rotation_degrees) * stream.uniform(-1, 1)
    scale = (1 + augmentation.scale) ** stream.uniform(-1, 1)
    shift = size * augmentation.shift * stream.uniform(-1, 1, 2)
    flip = -1.0 if stream.random() < augmentation.flip else 1.0
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[flip * cosine, -sine], [flip * sine, cosine]])
    if augmentation.aspect:
        stretch = (1 + augmentation.aspect) ** (stream.uniform(-1, 1) / 2)
        linear = linear @ np.diag([stretch, 1 / stretch])
    centre = np.full(2, (size - 1) / 2)
    offset = centre + shift - linear @ centre
    return np.column_stack([linear, offset]).astype(np.float32)


def _cut_out(image: Square, largest: float, stream: np.random.Generator) -> Square:
    """Blank out a square, as in DeVries and Taylor 2017, on half of the images."""
    if not largest or stream.random() < 0.5:
        return image
    size = image.shape[0]
    side = round(size * largest * stream.random())
    top, left = stream.integers(0, size - side + 1, 2)
    image = image.copy()
    image[top : top + side, left : left + side] = 0
    return image


def change_intensity(
    image: Values, augmentation: Augmentation, stream: np.random.Generator
) -> Values:
    """Change gamma, contrast and brightness of a standardised image or volume, and add noise."""
    exponent = (1 + augmentation.gamma) ** stream.uniform(-1, 1)
    gain = (1 + augmentation.contrast) ** stream.uniform(-1, 1)
    offset = augmentation.brightness * stream.uniform(-1, 1)
    if augmentation.gamma:
        low, high = float(image.min()), float(image.max())
        span = max(high - low, 1e-6)
        image = (low + span * ((image - low) / span) ** exponent).astype(np.float32)
    image = gain * image + offset
    if augmentation.noise:
        deviation = augmentation.noise * stream.random()
        image = image + deviation * stream.standard_normal(image.shape, np.float32)
    return image
