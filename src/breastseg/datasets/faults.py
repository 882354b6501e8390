"""What is wrong with single files of a data set: training stops at it, inspection lists it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from breastseg.core.errors import InputError


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a layout that has a place.

    code: of the finding, as in docs/reference/inspection.md.
    file: the picture that it is about.
    error: what training says of it, with the fix.
    """

    code: str
    file: Path
    error: InputError


OnFault = Callable[[Fault], None]
"""Told of each fault. Where it returns, the layout goes on without what is wrong."""


def refuse(fault: Fault) -> None:
    """Stop at the first fault, as training does.

    Raises:
        InputError: always; a LayoutError or a ReferenceMaskError.
    """
    raise fault.error
