"""The codes that results use: what is marked, where, what is measured, and in which unit.

None of them is a diagnosis. 254837009 (malignant neoplasm of breast) and its kin are never
written, whatever a network thinks. `docs/reference/dicom-codes.md` is made from these tables.
"""

from dataclasses import dataclass
from typing import Literal

from pydicom.sr.coding import Code

Laterality = Literal["right", "left"]

CATEGORY = Code("49755003", "SCT", "Morphologically Abnormal Structure")
TYPE = Code("4147007", "SCT", "Mass")
ANATOMY = Code("76752008", "SCT", "Breast")
LATERALITY: dict[Laterality, Code] = {
    "right": Code("24028007", "SCT", "Right"),
    "left": Code("7771000", "SCT", "Left"),
}
LANGUAGE = Code("en-US", "RFC5646", "English (United States)")
TITLE = Code("126000", "DCM", "Imaging Measurement Report")
PROCEDURES = {
    "CT": Code("25045-6", "LN", "CT unspecified body region"),
    "US": Code("363679005", "SCT", "Imaging procedure"),
}
FAMILY = Code("123110", "DCM", "Artificial Intelligence")
SUMMARY = Code("111017", "DCM", "CAD Processing and Findings Summary")
WITH_FINDINGS = Code("111242", "DCM", "All algorithms succeeded; with findings")
WITHOUT_FINDINGS = Code("111241", "DCM", "All algorithms succeeded; without findings")
QUALITATIVE = Code("C0034375", "UMLS", "Qualitative Evaluations")
COMMENT = Code("121106", "DCM", "Comment")

_MM = Code("mm", "UCUM", "mm")
_PIXELS = Code("{pixels}", "UCUM", "pixels")
_HU = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
_LONG_AXIS = Code("103339001", "SCT", "Long axis")
_SHORT_AXIS = Code("103340004", "SCT", "Short axis")
_AREA = Code("42798000", "SCT", "Area")
_ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A measure of a lesion as an SR states it.

    field: of core.lesion.Lesion or core.lesion_volume.VolumeLesion.
    factor: what the field's value is multiplied by.
    """

    field: str
    name: Code
    unit: Code
    derivation: Code | None = None
    factor: float = 1.0


_PROBABILITY = Quantity(
    "probability", Code("122157", "DCM", "Probability"), Code("%", "UCUM", "Percent"), factor=100
)
VOLUME_QUANTITIES = (
    Quantity(
        "volume_mm3", Code("118565006", "SCT", "Volume"), Code("mm3", "UCUM", "cubic millimeter")
    ),
    Quantity("long_axis_mm", _LONG_AXIS, _MM),
    Quantity("short_axis_mm", _SHORT_AXIS, _MM),
    Quantity("mean_hu", _ATTENUATION, _HU, Code("373098007", "SCT", "Mean")),
    Quantity("sd_hu", _ATTENUATION, _HU, Code("386136009", "SCT", "Standard Deviation")),
    _PROBABILITY,
)
PLANAR_QUANTITIES = (
    Quantity("area_mm2", _AREA, Code("mm2", "UCUM", "square millimeter")),
    Quantity("long_axis_mm", _LONG_AXIS, _MM),
    Quantity("short_axis_mm", _SHORT_AXIS, _MM),
    _PROBABILITY,
)
PIXEL_QUANTITIES = (
    Quantity("area_px", _AREA, _PIXELS),
    Quantity("long_axis_px", _LONG_AXIS, _PIXELS),
    Quantity("short_axis_px", _SHORT_AXIS, _PIXELS),
    _PROBABILITY,
)
