"""What each loss means, in NumPy float64. The backends must agree with these to 1e-6.

All take logits, for numerical stability, and a target of 0 and 1, both shaped
(batch, channel, *space). Each but batch-dice is the mean over the images of a batch of the loss
of one image, so that a large lesion does not outvote a small one in another image. None is ever
NaN, whatever the target.

In formulas x is a logit, p = sigmoid(x), g the target, N the number of pixels of the image,
ce = -g log p - (1 - g) log(1 - p), TP = sum p g, FP = sum p (1 - g), FN = sum (1 - p) g,
TN = sum (1 - p) (1 - g), and S = 1 pixel (SMOOTH). "Lesion-free" says what an image without a
lesion costs when n pixels of it are predicted for certain.
"""

from breastseg.networks.losses.boundary import boundary_loss, needs_distance, signed_distance
from breastseg.networks.losses.compound import bce_dice_loss, unified_focal_loss
from breastseg.networks.losses.overlap import (
    SMOOTH,
    batch_dice_loss,
    focal_tversky_loss,
    generalised_dice_loss,
    jaccard_loss,
    lesion_dice_loss,
    log_cosh_dice_loss,
    lovasz_hinge_loss,
    soft_dice_loss,
    squared_dice_loss,
    tversky_loss,
)
from breastseg.networks.losses.pixelwise import (
    balanced_cross_entropy,
    binary_cross_entropy,
    focal_loss,
    num_hardest,
    top_k_cross_entropy,
    weighted_cross_entropy,
)
from breastseg.networks.losses.registry import LOSSES, LossDefinition

__all__ = [
    "LOSSES",
    "SMOOTH",
    "LossDefinition",
    "balanced_cross_entropy",
    "batch_dice_loss",
    "bce_dice_loss",
    "binary_cross_entropy",
    "boundary_loss",
    "focal_loss",
    "focal_tversky_loss",
    "generalised_dice_loss",
    "jaccard_loss",
    "lesion_dice_loss",
    "log_cosh_dice_loss",
    "lovasz_hinge_loss",
    "needs_distance",
    "num_hardest",
    "signed_distance",
    "soft_dice_loss",
    "squared_dice_loss",
    "top_k_cross_entropy",
    "tversky_loss",
    "unified_focal_loss",
    "weighted_cross_entropy",
]
