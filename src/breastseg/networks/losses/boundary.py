"""The boundary loss and the distance map that it needs; the same map for both frameworks."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage
from scipy.special import expit

from breastseg.core.loss_terms import LossTerm
from breastseg.networks.losses.pixelwise import Logits, Target, space

Distance = Float32[np.ndarray, "batch channel *space"]
_ON_DISTANCE = frozenset({"boundary"})


def needs_distance(terms: Iterable[LossTerm]) -> bool:
    """Tell whether a loss takes the signed distance map of the target in the target's place."""
    return any(term.name in _ON_DISTANCE for term in terms)


def signed_distance(target: Target) -> Distance:
    """Return the distance of each pixel from the outline of its image's lesions, in pixels.

    Above 0 outside; below 0 inside; 0 on the outermost pixels of a lesion. An image of one
    class alone has no outline, and its map is 0 everywhere.

    Source: Kervadec et al. 2019, equation 5, discretised as in the authors' code.

    >>> signed_distance(np.array([[[[0.0, 0, 1, 1, 1, 1, 0]]]])).astype(int).tolist()
    [[[[2, 1, 0, -1, -1, 0, 1]]]]
    """
    return np.stack([[_distance(mask > 0.5) for mask in image] for image in target])


def _distance(mask: Bool[np.ndarray, "*space"]) -> Float32[np.ndarray, "*space"]:
    if mask.all() or not mask.any():
        return np.zeros(mask.shape, np.float32)
    outside = ndimage.distance_transform_edt(~mask)
    inside = ndimage.distance_transform_edt(mask)
    signed: Float32[np.ndarray, "*space"] = (outside - np.where(mask, inside - 1, 0)).astype("f4")
    return signed


def boundary_loss(logits: Logits, target: Target) -> float:
    """Distance from the lesion's outline of what is predicted wrongly: far errors cost more.

    d is the signed distance from the outline in pixels of the network's input, below 0 inside.
    The paper leaves out the part without p; with it, a perfect prediction costs 0, and the
    gradient is the same. It is large and blind to lesion-free images: add a loss of regions,
    such as `dice:1,boundary:0.01`.

    Formula: mean of d (p - g)
    Range: [0, inf), at most the image's diagonal
    Lesion-free: 0 whatever is predicted: there is no outline. So for a lesion without background.
    Source: Kervadec et al. 2019 (arXiv:1812.07032), section 2, d as in the authors' code
    """
    distance = signed_distance(target).astype(np.float64)
    wrong = np.where(distance > 0, expit(logits), expit(-logits))
    return float((np.abs(distance) * wrong).mean(axis=space(logits)).mean())
