"""How another machine would show the same picture: grain, shadows, tone, margins."""

import cv2
import numpy as np
from jaxtyping import Float32

from breastseg.core.recipe import Augmentation
from breastseg.pipeline.preprocess import standardise

Square = Float32[np.ndarray, "size size"]

_TONE_PIECES = 5


def degrade(image: Square, augmentation: Augmentation, stream: np.random.Generator) -> Square:
    """Blur, speckle, shadow, depth gain and tone, as another machine or a rib would.

    Each draws random numbers only when it is on.
    """
    if augmentation.blur:
        deviation = augmentation.blur * stream.random()
        if deviation > 0.1:
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), deviation), np.float32)
    if augmentation.speckle:
        strength = augmentation.speckle * stream.random()
        image = _scaled_from_dark(image, 1 + strength * _grain(image.shape[0], stream))
    if augmentation.shadow and stream.random() < 0.5:
        darkness = augmentation.shadow * stream.random()
        image = _scaled_from_dark(image, 1 - darkness * _shadow(image.shape[0], stream))
    if augmentation.depth_gain:
        slope = augmentation.depth_gain * stream.uniform(-1, 1)
        rows = np.linspace(-slope, slope, image.shape[0], dtype=np.float32)
        image = _scaled_from_dark(image, 1 + np.repeat(rows[:, None], image.shape[1], axis=1))
    if augmentation.tone:
        image = _with_tone(image, augmentation.tone, stream)
    return image


def _scaled_from_dark(image: Square, factor: Square) -> Square:
    """Multiply the brightness above the darkest pixel, which a standardised image has below 0."""
    dark = float(image.min())
    return np.asarray(dark + (image - dark) * factor, np.float32)


def _grain(size: int, stream: np.random.Generator) -> Square:
    """Return noise of mean 0 and about unit deviation, correlated over a pixel or two."""
    noise = cv2.GaussianBlur(stream.standard_normal((size, size), np.float32), (0, 0), 0.8)
    return np.asarray(noise / max(float(noise.std()), 1e-6), np.float32)


def _shadow(size: int, stream: np.random.Generator) -> Square:
    """Return a band in [0, 1] with soft edges that runs down from some depth."""
    depth, middle = stream.uniform(0, 0.6), stream.uniform(0, 1)
    width = stream.uniform(0.05, 0.2)
    share = (np.arange(size, dtype=np.float32) + 0.5) / size
    across = np.clip(1.5 - np.abs(share - middle) / width, 0, 1)
    along = np.clip((share - depth) / 0.1, 0, 1)
    return np.outer(along, across).astype(np.float32)


def _with_tone(image: Square, strength: float, stream: np.random.Generator) -> Square:
    """Map grey values by a rising curve of random slopes that keeps the darkest and brightest."""
    steps = (1 + strength) ** stream.uniform(-2, 2, _TONE_PIECES)
    curve = np.concatenate([[0.0], np.cumsum(steps) / steps.sum()])
    low, high = float(image.min()), float(image.max())
    knots = np.linspace(low, high, _TONE_PIECES + 1)
    return np.asarray(np.interp(image, knots, low + (high - low) * curve), np.float32)


def black_margin(image: Square) -> Square:
    """Make what lies outside of a picture as dark as its darkest pixel, and standardise anew.

    Padding is 0, its mean; but the margin of a screenshot belongs to the picture, and is black.
    """
    inside = image != 0
    if inside.all() or not inside.any():
        return image
    return standardise(np.where(inside, image, image[inside].min()))
