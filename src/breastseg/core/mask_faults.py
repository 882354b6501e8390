"""Why a mask of a DICOM file is refused: one stable code for each reason.

Codes are a contract: scripts may act on them. docs/reference/masks.md explains the rules.
"""

from pathlib import Path

from breastseg.core.coded_fault import CodedFault
from breastseg.core.errors import ReferenceMaskError


class MaskFault(CodedFault):
    """A reason to refuse a mask; see CodedFault."""

    # Files
    NOT_A_MASK = (
        "not-a-mask",
        "the object is neither a Segmentation (SEG) nor an RT Structure Set (RTSTRUCT)",
        "Name a DICOM SEG or RTSTRUCT file.",
    )
    DAMAGED_MASK = (
        "damaged-mask",
        "an attribute that the standard asks for is absent or contradicts another",
        "Export it again from the tool that drew it.",
    )
    WHOLE_SLIDE = (
        "whole-slide",
        "the segmentation is of a whole-slide image, which is tiled and has no slices",
        "Name a segmentation of a CT series or an ultrasound image.",
    )
    # Choice
    NO_SUCH_LABEL = (
        "no-such-label",
        "no segment or ROI has a name that the pattern fits",
        "List the names with `breastseg inspect FILE`, and choose by --label.",
    )
    SEVERAL_LABELS = (
        "several-labels",
        "there are several segments or ROIs, and nothing says which are lesions",
        "Choose by --label, such as --label '*tumor*', or for a data set in its lesions.json.",
    )
    # Reference
    OTHER_SERIES = (
        "other-series",
        "the mask was drawn on another series than this image",
        "Name the series that the mask refers to.",
    )
    BROKEN_REFERENCE = (
        "broken-reference",
        "the mask says nothing that ties it to this series",
        "Export it again with its image, so that it names series and frame of reference.",
    )
    # Geometry
    OTHER_GRID = (
        "other-grid",
        "the pixels of the segmentation do not lie on the voxels of the image",
        "Export it on the grid of the image; resampling a mask changes what a reader drew.",
    )
    OUTSIDE = (
        "outside",
        "nothing of the structure lies inside the image",
        "Name the whole series; some of its slices may be missing here.",
    )
    OFF_PLANE = (
        "off-plane",
        "a contour lies between two slices",
        "Draw or export the contours on the slices of this series.",
    )
    NOT_PARALLEL = (
        "not-parallel",
        "a contour is not parallel to the slices",
        "Name the series that it was drawn on, or export it as SEG.",
    )
    WRONG_SLICE = (
        "wrong-slice",
        "a contour does not lie on the slice that it names",
        "Export it again from the tool that drew it.",
    )
    # Shape
    NOT_CLOSED = (
        "not-closed",
        "the structure is made of points or open lines, which enclose nothing",
        "Choose another one by --label.",
    )
    EMPTY_STRUCTURE = (
        "empty-structure",
        "the structure has no contour or frame, or encloses no voxel centre",
        "Choose another one by --label.",
    )
    GAP = (
        "gap",
        "slices without a contour lie between slices with one, and the outlines face each other",
        "Draw the missing contours, or ask for --fill-gaps, which interpolates them.",
    )
    CROSSING = (
        "crossing",
        "two contours of a slice overlap without one lying inside the other",
        "Merge them in the tool that drew them, or export as SEG.",
    )


class MaskError(ReferenceMaskError):
    """A mask is refused; `fault` has the stable code, `path` the file."""

    def __init__(self, fault: MaskFault, path: Path, found: str) -> None:
        """Make a message of it; see CodedFault.tell."""
        self.fault = fault
        self.path = path
        super().__init__(fault.tell(path, found))
