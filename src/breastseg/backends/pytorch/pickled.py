"""Weights in PyTorch's own file format."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Shaped

Array = Shaped[np.ndarray, "..."]


def read_pickled(path: Path) -> dict[str, Array]:
    """Read a file of named tensors; nothing in it can run as code."""
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor.numpy() for name, tensor in tensors.items()}
