"""Random changes of training images, drawn from the case's own random stream."""

import cv2
import numpy as np
from jaxtyping import Float32

from breastseg.core.recipe import Augmentation

Square = Float32[np.ndarray, "size size"]


def augment(
    image: Square, mask: Square, augmentation: Augmentation, stream: np.random.Generator
) -> tuple[Square, Square]:
    """Return a changed copy of a standardised image and its mask (0 or 1).

    Where the picture is moved in from outside, it is 0, as padding is.

    Args:
        image: values of mean 0 and standard deviation 1.
        mask: 1 inside a lesion; moved with the image, nearest neighbour.
        augmentation: how much of each change.
        stream: the case's own random numbers; the same stream gives the same change.
    """
    matrix = _affine(image.shape[0], augmentation, stream)
    size = (image.shape[1], image.shape[0])
    image = np.asarray(cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR), np.float32)
    mask = np.asarray(cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_NEAREST), np.float32)
    return _change_intensity(image, augmentation, stream), mask


def _affine(
    size: int, augmentation: Augmentation, stream: np.random.Generator
) -> Float32[np.ndarray, "2 3"]:
    """Draw flip, rotation, scale and shift about the centre, as cv2.warpAffine takes them."""
    angle = np.deg2rad(augmentation.rotation_degrees) * stream.uniform(-1, 1)
    scale = (1 + augmentation.scale) ** stream.uniform(-1, 1)
    shift = size * augmentation.shift * stream.uniform(-1, 1, 2)
    flip = -1.0 if stream.random() < augmentation.flip else 1.0
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[flip * cosine, -sine], [flip * sine, cosine]])
    centre = np.full(2, (size - 1) / 2)
    offset = centre + shift - linear @ centre
    return np.column_stack([linear, offset]).astype(np.float32)


def _change_intensity(
    image: Square, augmentation: Augmentation, stream: np.random.Generator
) -> Square:
    """Change gamma, contrast, brightness and add noise where the image is not padding."""
    inside = image != 0
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
    return np.where(inside, image, 0).astype(np.float32)
