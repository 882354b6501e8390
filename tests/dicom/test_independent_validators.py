"""What programs that are not ours say of our results. `make test-dicom` runs these.

dciodvfy (dicom3tools) and dcmqi come with the extra `validators`; PixelMed and Orthanc from Debian:
apt-get install --no-install-recommends orthanc orthanc-dicomweb dcmtk libpixelmed-java
"""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from breastseg.core.lesion import find_lesions
from breastseg.core.structure import Structure, StructureMask, lesions_of
from breastseg.io.dicom_results import (
    Finding,
    Maker,
    make_dicom_results,
    new_uid,
    write_dicom_results,
)
from breastseg.io.dicom_series import read_series
from breastseg.io.nifti_mask import write_label_map
from breastseg.workflows.results import results
from tests.made_series import affine_of, write_ct, write_ultrasound

pytestmark = pytest.mark.validators

PIXELMED = Path("/usr/share/java/pixelmed.jar")
XPATH_LIMITS = [f"-Djdk.xml.xpath{name}Limit=0" for name in ("ExprGrp", "ExprOp", "TotalOp")]
OBLIQUE = ((0.0, -0.6, 0.8), (0.0, 0.8, 0.6), (1.0, 0.0, 0.0))


def program(name):
    """Return the path of a program; skip the test where it is missing."""
    found = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"{name} is not installed: see the head of {Path(__file__).name}")
    return found


def said(*command, timeout=900):
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module", params=["axial", "oblique", "empty", "real"])
def made(request, tmp_path_factory):
    """Return the folder of results of a series: made ones, and a woman's chest CT."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "real":
        source = request.getfixturevalue("shared_data") / "ct" / "lidc-idri-0314"
    else:
        source = folder / "ct"
        directions = OBLIQUE if request.param == "oblique" else affine_of()[:3, :3].T.tolist()
        pixels = np.random.default_rng(0).integers(-900, 900, (6, 40, 30))
        unit = [np.array(step) / np.linalg.norm(step) for step in directions]
        write_ct(source, pixels, affine_of(directions=unit))
    series = read_series(source)
    mask = np.zeros(series.image.pixels.shape, bool)
    if request.param != "empty":
        mask[2:4, 10:20, 12:17] = mask[3:5, 25:28, 3:6] = mask[5, 1, 1] = True
    whole = Structure(number=1, name="mask", kind=None, num_parts=None)
    labels = lesions_of([StructureMask(structure=whole, mask=mask)])
    write_label_map(folder / "given.nii.gz", labels, series.image.affine)
    output = folder / "results"
    results(source, folder / "given.nii.gz", output=output, algorithm="unet 1.0")
    return series, labels, output


def require_no_error_of_dciodvfy(files):
    validator = program("dciodvfy")
    for path in files:
        text = said(validator, "-new", path)
        assert "Error" not in text, f"{path.name}:\n{text}"
        assert "Abort" not in text, f"{path.name}:\n{text}"


def test_dciodvfy_finds_no_error(made):
    _, labels, output = made
    files = sorted(output.glob("*.dcm"))
    assert len(files) == (2 if not labels.any() else 2 + labels.max())
    require_no_error_of_dciodvfy(files)


def require_no_error_of_pixelmed(path):
    java = program("java")
    if not PIXELMED.is_file():
        pytest.skip("libpixelmed-java is not installed")
    text = said(
        java,
        *XPATH_LIMITS,
        "-cp",
        "/usr/share/java/*",
        "com.pixelmed.validate.DicomSRValidator",
        path,
    )
    assert "Found Root Template TID_1500" in text
    assert "Root Template Validation Complete" in text
    assert not [line for line in text.splitlines() if line.startswith("Error")], text


def test_pixelmed_finds_the_template_and_no_error(made):
    require_no_error_of_pixelmed(made[2] / "sr.dcm")


@pytest.fixture(scope="module", params=[None, 0.1])
def ultrasound(request, tmp_path_factory):
    """Return the DICOM results of an ultrasound image, with or without millimetres."""
    folder = tmp_path_factory.mktemp("ultrasound")
    series = write_ultrasound(folder / "us", np.full((20, 30), 90), request.param)
    probability = np.zeros((1, 20, 30), np.float32)
    probability[0, 4:9, 5:15] = probability[0, 12:18, 20:25] = 0.7
    labels, lesions = find_lesions(probability, threshold=0.5, spacing_mm=series.image.spacing_mm)
    findings = [
        Finding(lesion=lesion, tracking_uid=new_uid(), laterality="left") for lesion in lesions
    ]
    maker = Maker(algorithm="unet", version="1.0")
    return write_dicom_results(folder, make_dicom_results(series, labels, findings, maker))


def test_dciodvfy_finds_no_error_in_ultrasound(ultrasound):
    require_no_error_of_dciodvfy(ultrasound)


def test_pixelmed_finds_no_error_in_ultrasound(ultrasound):
    (report,) = [path for path in ultrasound if path.name == "sr.dcm"]
    require_no_error_of_pixelmed(report)


def test_dcmqi_decodes_the_same_voxels(made, tmp_path):
    reader = program("segimage2itkimage")
    series, labels, output = made
    if not labels.any():
        assert not (output / "seg.dcm").exists()
        return
    said(reader, "--inputDICOM", output / "seg.dcm", "--outputDirectory", tmp_path, "-t", "nii")
    decoded = np.zeros(labels.shape, bool)
    volumes = sorted(tmp_path.glob("*.nii.gz"))
    assert len(volumes) == labels.max()
    to_index = np.linalg.inv(series.image.affine)
    for number, path in enumerate(
        sorted(volumes, key=lambda each: int(each.name.split(".")[0])), 1
    ):
        volume = nib.nifti1.Nifti1Image.from_filename(path)
        voxels = np.argwhere(np.asanyarray(volume.dataobj) > 0)
        to_lps = np.diag([-1, -1, 1, 1]) @ volume.affine
        places = np.column_stack([voxels, np.ones(len(voxels))]) @ to_lps.T @ to_index.T
        indices = np.rint(places[:, :3]).astype(int)
        assert np.abs(places[:, :3] - indices).max() < 1e-2
        decoded[:] = False
        decoded[tuple(indices.T)] = True
        np.testing.assert_array_equal(decoded, labels == number)


def test_dcmqi_reads_the_measures(made, tmp_path):
    reader = program("tid1500reader")
    _, labels, output = made
    if not labels.any():
        pytest.skip("tid1500reader reads measures alone, and an empty report has none")
    said(reader, "--inputDICOM", output / "sr.dcm", "--outputMetadata", tmp_path / "sr.json")
    groups = json.loads((tmp_path / "sr.json").read_text())["Measurements"]
    lesions = json.loads((output / "lesions.json").read_text())["lesions"]
    assert [each["TrackingUniqueIdentifier"] for each in groups] == [
        each["tracking_uid"] for each in lesions
    ]
    for group, lesion in zip(groups, lesions, strict=True):
        volume = group["measurementItems"][0]
        assert volume["quantity"]["CodeMeaning"] == "Volume"
        assert float(volume["value"]) == lesion["volume_mm3"]


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    """Return the address of an Orthanc that listens to this computer alone."""
    server = program("Orthanc")
    folder = tmp_path_factory.mktemp("orthanc")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    configuration = {
        "Name": "breastseg tests",
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [server, str(folder / "orthanc.json")], stdout=log, stderr=subprocess.STDOUT
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/system", timeout=5).close()
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.5)
        else:
            pytest.fail((folder / "log.txt").read_text())
        yield address
    finally:
        process.terminate()
        process.wait(30)


def ask(address, data=None):
    request = urllib.request.Request(address, data=data)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def test_an_archive_takes_the_results_into_the_study_and_gives_them_back(made, orthanc, tmp_path):
    series, _, output = made
    files = sorted(output.glob("*.dcm"))
    kept = [
        json.loads(ask(f"{orthanc}/instances", path.read_bytes()))
        for path in (*files, series.instance_paths[0])
    ]
    assert {each["Status"] for each in kept} == {"Success"}
    assert len({each["ParentStudy"] for each in kept}) == 1
    for path, each in zip(files, kept, strict=False):
        back = tmp_path / path.name
        back.write_bytes(ask(f"{orthanc}/instances/{each['ID']}/file"))
        ours, theirs = pydicom.dcmread(path), pydicom.dcmread(back)
        assert theirs.SOPInstanceUID == ours.SOPInstanceUID
        assert theirs == ours
