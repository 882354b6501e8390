"""The class of a whole image, beside its mask: what the loss of it is."""

import numpy as np
from jaxtyping import Float, Int64

from breastseg.core.network_recipe import UNLABELLED

BENIGN, MALIGNANT = "benign", "malignant"

ClassLogits = Float[np.ndarray, "batch classes"]
Labels = Int64[np.ndarray, " batch"]


def class_cross_entropy(logits: ClassLogits, labels: Labels) -> float:
    """Mean over the images of the cross entropy of softmax(logits); 0 for an unlabelled image.

    The mean is over all images, as everywhere: so an image weighs the same whatever else is in
    its batch, and the parts of an accumulated batch add up to the whole.

    Args:
        labels: number of each image's class, or UNLABELLED.

    >>> round(class_cross_entropy(np.zeros((2, 4)), np.array([3, UNLABELLED])), 4)
    0.6931
    """
    known = labels != UNLABELLED
    largest = logits.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(logits - largest).sum(axis=1)) + largest[:, 0]
    rows = np.arange(len(labels))
    losses = log_sum - logits[rows, np.where(known, labels, 0)]
    return float(np.mean(np.where(known, losses, 0.0)))
