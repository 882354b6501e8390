"""Arrays in memory that worker processes see too."""

import ctypes
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from jaxtyping import Shaped

from breastseg.io.worker_processes import CONTEXT

Array = Shaped[np.ndarray, "..."]


@dataclass(frozen=True, slots=True)
class SharedArray:
    """An array in memory that the workers see too.

    The standard library's RawArray is a file without a name, in /dev/shm or, where that is too
    small, as it is in many containers, in the temporary folder: nothing is left behind when
    all processes are killed.
    """

    memory: Any
    shape: tuple[int, ...]
    kind: type

    @classmethod
    def create(cls, shape: tuple[int, ...], kind: type) -> Self:
        """Take the memory, filled with zeros."""
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        return cls(CONTEXT.RawArray(ctypes.c_ubyte, size), shape, kind)

    def array(self) -> Array:
        """View it."""
        return np.frombuffer(self.memory, self.kind).reshape(self.shape)
