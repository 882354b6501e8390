"""Every DICOM file beside the project is read correctly, or refused with the right code."""

from pathlib import Path

import numpy as np
import pytest
from highdicom import get_volume_from_series
from pydicom import dcmread
from pydicom.pixels.utils import pixel_array

from breastseg.core.scan_faults import ScanError, ScanFault
from breastseg.io.dicom_files import find_series
from breastseg.io.dicom_series import FLOOR_HU, read_grid, read_series
from breastseg.io.dicom_ultrasound import read_ultrasound

pytestmark = pytest.mark.data

SYNTAX = "dicom-interop/transfer-syntaxes/CTImage.dcm"
PLAIN = (1, 512, 512)

# Folder or file: the volume's shape (slices, rows, columns) and spacing in mm.
READ = {
    "ct/4d-lung-113_HM10395": ((61, 512, 512), (3.0, 0.9766, 0.9766)),
    "ct/covid19-ny-sbu-A056642/19001229-053.dcm": (PLAIN, (2.5, 0.800781, 0.800781)),
    "ct/covid19-ny-sbu-A056642/19010107-111.dcm": (PLAIN, (1.25, 0.724609, 0.724609)),
    "ct/crlm-CT-1006": ((20, 512, 512), (5.0, 0.804688, 0.804688)),
    "ct/lidc-idri-0314": ((86, 512, 512), (2.0, 0.78125, 0.78125)),
    "dicom-interop/breast-rtstruct": (PLAIN, (3.0, 1.074219, 1.074219)),
    "dicom-interop/rtstruct-2slice": ((2, 512, 512), (5.0, 0.488281, 0.488281)),
    "dicom-interop/seg/ct-3slice": ((3, 512, 512), (1.0, 0.810547, 0.810547)),
    "dicom-interop/highdicom/ct_image.dcm": ((1, 128, 128), (5.0, 0.661468, 0.661468)),
}
LOSSLESS = (
    "_BigEndianExplicitTransferSyntax_1.2.840.10008.1.2.2",
    "_DeflatedExplicitVRLittleEndianTransferSyntax_1.2.840.10008.1.2.1.99",
    "_JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90",
    "_JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80",
    "_JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70",
    "_JPEGProcess14TransferSyntax_1.2.840.10008.1.2.4.57",
    "_LittleEndianExplicitTransferSyntax_1.2.840.10008.1.2.1",
    "_LittleEndianImplicitTransferSyntax_1.2.840.10008.1.2",
    "_RLELosslessTransferSyntax_1.2.840.10008.1.2.5",
)
# With loss: the largest difference in HU, as measured; 8 bits are steps of 32 HU.
LOSSY = {
    "_JPEG2000TransferSyntax_1.2.840.10008.1.2.4.91": 20,
    "_JPEGLSLossyTransferSyntax_1.2.840.10008.1.2.4.81": 10,
    "_JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51": 40,
    "_JPEGProcess1TransferSyntax_1.2.840.10008.1.2.4.50": 100,
}
REFUSED = {
    f"{SYNTAX}_JPEGProcess10_12TransferSyntax_1.2.840.10008.1.2.4.55.dcm": "transfer-syntax",
    f"{SYNTAX}_JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53.dcm": "transfer-syntax",
    "dicom-interop/transfer-syntaxes/no-pixel-data.dcm": "modality",
    "dicom-interop/enhanced-ct": "not-hu",
    "dicom-interop/not-hu": "not-hu",
    "dicom-interop/gantry-tilt": "gantry-tilt",
    "dicom-interop/seg/24x38x3/image": "not-hu",
    "dicom-interop/seg/24x38x3/multiframe": "not-hu",
    "dicom-interop/seg/24x38x3/seg": "modality",
    "dicom-interop/seg/24x38x3/nrrd": "not-dicom",
    "dicom-interop/seg": "several-series",
    "ct/covid19-ny-sbu-A056642": "several-series",
}
ULTRASOUND = {
    "dicom-interop/transfer-syntaxes/US-YBR_FULL_422-EVRLE.dcm": ((1, 555, 800), 0.0616),
    "dicom-interop/transfer-syntaxes/no-pixel-spacing.dcm": ((1, 600, 800), 0.330542),
}


@pytest.mark.parametrize("place", READ)
def test_series_that_are_read(shared_data, place):
    shape, spacing = READ[place]
    series = read_series(shared_data / place)
    pixels = series.image.pixels
    assert pixels.shape == shape
    assert series.image.spacing_mm == pytest.approx(spacing)
    # Air, soft tissue and bone are where HU has them.
    assert pixels.min() >= FLOOR_HU
    assert 0.05 < np.mean((pixels > -150) & (pixels < 150)) < 0.7
    assert 100 < pixels.max() < 32768


@pytest.mark.parametrize("place", ["ct/crlm-CT-1006", "dicom-interop/seg/ct-3slice"])
def test_affine_and_values_are_those_of_highdicom(shared_data, place):
    series = read_series(shared_data / place)
    theirs = get_volume_from_series([dcmread(path) for path in series.instance_paths])
    last = np.linalg.inv(series.image.affine) @ theirs.affine @ [len(theirs.array) - 1, 0, 0, 1]
    ours = series.image.pixels
    if last[0] < 0.5:
        theirs = theirs.flip_spatial(0)
    assert np.allclose(theirs.affine, series.image.affine, atol=1e-3)
    assert np.array_equal(np.maximum(theirs.array, FLOOR_HU), ours)


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_lossless_encodings_give_identical_hu(shared_data, syntax):
    plain = read_series(shared_data / SYNTAX)
    series = read_series(shared_data / f"{SYNTAX}{syntax}.dcm")
    assert np.array_equal(series.image.pixels, plain.image.pixels)
    assert np.array_equal(series.image.affine, plain.image.affine)


@pytest.mark.parametrize("syntax", LOSSY)
def test_lossy_encodings_are_close_and_noted(shared_data, syntax):
    plain = read_series(shared_data / SYNTAX).image.pixels
    series = read_series(shared_data / f"{SYNTAX}{syntax}.dcm")
    inside = plain > FLOOR_HU
    assert np.abs(series.image.pixels - plain)[inside].max() <= LOSSY[syntax]
    assert any("with loss" in note for note in series.notes)


@pytest.mark.parametrize(
    ("place", "plugin"),
    [
        ("ct/lidc-idri-0314/ct/000015.dcm", "pylibjpeg"),
        (f"{SYNTAX}_JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80.dcm", "pyjpegls"),
        (f"{SYNTAX}_JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90.dcm", "pillow"),
    ],
)
def test_an_independent_decoder_agrees(shared_data, place, plugin):
    header = dcmread(shared_data / place)
    theirs = pixel_array(header, decoding_plugin=plugin) * 1.0 + float(header.RescaleIntercept)
    ours = read_series(shared_data / place).image.pixels[0]
    assert np.array_equal(np.maximum(theirs, FLOOR_HU), ours)


@pytest.mark.parametrize("place", REFUSED)
def test_series_that_are_refused(shared_data, place):
    with pytest.raises(ScanError) as caught:
        read_series(shared_data / place)
    assert caught.value.fault == REFUSED[place]


def test_a_real_tilt_is_resampled_on_request(shared_data):
    series = read_series(shared_data / "dicom-interop/gantry-tilt", resample_tilt=True)
    steps = series.image.affine[:3, :3]
    assert np.allclose(steps.T @ steps, np.diag(np.diag(steps.T @ steps)), atol=1e-6)
    assert series.image.spacing_mm == pytest.approx((4.0019, 0.48828, 0.48828), abs=1e-4)
    assert "18.5 degrees" in series.notes[-1]


def test_feet_first_and_head_first_agree_about_the_patient(shared_data):
    # Feet first or not, a grid of identity orientation counts rows to the back of the patient.
    for place in ("ct/crlm-CT-1006", "ct/4d-lung-113_HM10395"):
        affine = read_grid(shared_data / place).affine
        assert (np.diag(affine[[2, 1, 0], :3]) > 0).all()


@pytest.mark.parametrize("place", ULTRASOUND)
def test_ultrasound(shared_data, place):
    shape, spacing = ULTRASOUND[place]
    series = read_ultrasound(shared_data / place)
    assert series.image.pixels.shape == shape
    assert series.image.spacing_mm[1:] == pytest.approx((spacing, spacing), abs=1e-6)
    assert (series.image.pixels.min(), series.image.pixels.max()) == (0, 255)


def test_every_file_is_accounted_for(shared_data):
    """Whatever is no part of a series above is refused alone, with one of two codes."""
    known = {*READ, *REFUSED, *ULTRASOUND, SYNTAX}
    known |= {f"{SYNTAX}{syntax}.dcm" for syntax in (*LOSSLESS, *LOSSY)}
    # Folders of several series say nothing of the files in them.
    known -= {"dicom-interop/seg", "ct/covid19-ny-sbu-A056642"}
    codes = {ScanFault.MODALITY, ScanFault.NOT_DICOM}
    folders = (shared_data / "ct", shared_data / "dicom-interop")
    for path in sorted(path for folder in folders for path in folder.rglob("*")):
        place = path.relative_to(shared_data)
        if path.is_dir() or any(str(part) in known for part in (place, *place.parents)):
            continue
        with pytest.raises(ScanError) as caught:
            read_series(path)
        assert caught.value.fault in codes, path


def test_a_tree_of_many_series_is_listed(shared_data):
    series = find_series(shared_data / "dicom-interop")
    kinds = {summary.kind for summary in series}
    assert {"CT", "CT multi-frame", "ultrasound", "Segmentation", "RT Structure Set"} <= kinds
    assert all(isinstance(path, Path) for summary in series for path in summary.paths)
