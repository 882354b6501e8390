"""Why a medical image file or series is refused: one stable code for each reason.

Codes are a contract: scripts may act on them. docs/reference/refusals.md is made from here.
"""

from pathlib import Path

from breastseg.core.coded_fault import CodedFault
from breastseg.core.errors import ImageFileError


class ScanFault(CodedFault):
    """A reason to refuse a medical image; see CodedFault."""

    # Files
    NOT_DICOM = (
        "not-dicom",
        "the file is no DICOM file, or the folder holds none",
        "Name a DICOM file or a folder that holds some.",
    )
    DAMAGED_FILE = (
        "damaged-file",
        "the file is empty, cut short or malformed",
        "Export or copy it again from its archive.",
    )
    NO_PIXELS = (
        "no-pixels",
        "the object has no image",
        "Name the image series, not a report, a plan or a list of annotations.",
    )
    TRUNCATED_PIXELS = (
        "truncated-pixels",
        "there are fewer pixel data than rows, columns and frames ask for",
        "Export or copy the file again from its archive.",
    )
    UNDECODABLE_PIXELS = (
        "undecodable-pixels",
        "the decoder cannot make an image of the pixel data",
        "Export or copy the file again from its archive; uncompressed where it was right there.",
    )
    TRANSFER_SYNTAX = (
        "transfer-syntax",
        "the pixel data is compressed in a way that is not read",
        "Export it uncompressed or as JPEG 2000 lossless.",
    )
    # Series
    MODALITY = (
        "modality",
        "the object is of another modality than the command or its model is for",
        "Name a scan of the right modality, or choose a model for this one.",
    )
    SEVERAL_SERIES = (
        "several-series",
        "there is more than one series, and nothing says which is meant",
        "Name the folder or the files of one series.",
    )
    LOCALIZER = (
        "localizer",
        "the images are localizers (projections, not slices)",
        "Leave localizers out, and name the slices alone.",
    )
    NOT_HU = (
        "not-hu",
        "the values are no Hounsfield units",
        "Export the CT series that the image was made of.",
    )
    NO_RESCALE = (
        "no-rescale",
        "RescaleSlope or RescaleIntercept is absent or no finite number above 0",
        "Export the original series; without them there are no Hounsfield units.",
    )
    PHOTOMETRY = (
        "photometry",
        "the colours are stored in a way that has no luminance here",
        "Export the images as grey, RGB or YBR.",
    )
    # Geometry
    NO_ORIENTATION = (
        "no-orientation",
        "ImageOrientationPatient is absent or no pair of perpendicular unit vectors",
        "Export the original series, not a screen capture of it.",
    )
    NO_POSITION = (
        "no-position",
        "ImagePositionPatient is absent or not three finite numbers",
        "Export the original series, not a screen capture of it.",
    )
    NO_SPACING = (
        "no-spacing",
        "PixelSpacing, or SliceThickness of a single slice, is absent or not above 0",
        "Export the original series; a spacing is never guessed.",
    )
    MIXED_ORIENTATION = (
        "mixed-orientation",
        "the slices do not all have the same orientation",
        "Separate localizers and reformats from the series.",
    )
    MIXED_SIZE = (
        "mixed-size",
        "the slices do not all have the same rows and columns",
        "Separate the images of another size from the series.",
    )
    MIXED_SPACING = (
        "mixed-spacing",
        "the slices do not all have the same PixelSpacing",
        "Separate the reconstructions, or export the series again.",
    )
    MIXED_FRAME_OF_REFERENCE = (
        "mixed-frame-of-reference",
        "the slices name different frames of reference, so their positions cannot be compared",
        "Separate the acquisitions.",
    )
    DUPLICATE_SLICE = (
        "duplicate-slice",
        "two slices lie at the same position",
        "Remove the copy, or separate the phases or reconstructions of the series.",
    )
    MISSING_SLICE = (
        "missing-slice",
        "a gap between two slices is a multiple of the others",
        "Export the series again with all its slices.",
    )
    UNEVEN_SLICES = (
        "uneven-slices",
        "the slices are not evenly apart",
        "Resample the series in a tool that you trust, or export an even reconstruction.",
    )
    GANTRY_TILT = (
        "gantry-tilt",
        "the slices are shifted evenly against each other: the gantry was tilted",
        "Have it interpolated onto a straight grid: --resample-tilt of `breastseg inspect`, "
        "resample_tilt of read_series.",
    )
    SHIFTED_SLICES = (
        "shifted-slices",
        "a slice lies beside the line of the others",
        "Export the series again, or remove the slice that does not belong.",
    )
    # NIfTI
    NOT_NIFTI = (
        "not-nifti",
        "the file is no NIfTI volume",
        "Convert it to .nii or .nii.gz.",
    )
    DIMENSIONS = (
        "dimensions",
        "the file holds several volumes, several values at each voxel, or no voxel",
        "Save each volume as a file of its own.",
    )
    NO_AFFINE = (
        "no-affine",
        "neither sform nor qform says where the voxels lie",
        "Convert the original series again with a tool that writes an affine.",
    )
    AMBIGUOUS_AFFINE = (
        "ambiguous-affine",
        "sform and qform, or sform and pixdim, contradict each other",
        "Save it again in a tool where it looks right, with both forms alike.",
    )
    NOT_FINITE = (
        "not-finite",
        "a voxel is NaN or infinite",
        "Replace such voxels by a value that the scanner could measure.",
    )


class ScanError(ImageFileError):
    """A medical image is refused; `fault` has the stable code, `path` the file or folder."""

    def __init__(self, fault: ScanFault, path: Path, found: str) -> None:
        """Make a message of it; see CodedFault.tell."""
        self.fault = fault
        self.path = path
        super().__init__(fault.tell(path, found))
