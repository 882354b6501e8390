"""Time and memory of reading a CT series, and this reader beside SimpleITK on damaged series.

    python benchmarks/dicom_reading.py speed [--slices 300] [--workers 2]
    python benchmarks/dicom_reading.py damaged [--simpleitk PYTHON]

The second needs SimpleITK, in any environment: name its Python. Series are synthetic.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from pydicom import dcmread
from pydicom.uid import JPEG2000Lossless

from breastseg.core.scan_faults import ScanError
from breastseg.io.dicom_series import read_series
from tests.dicom_phantom import DAMAGES, SHAPE, SPACING_MM, write_series

READ_IN_A_PROCESS = """
import json, os, resource, sys, time
from pathlib import Path
import pydicom.pixels, gdcm, scipy.ndimage
from breastseg.io.dicom_series import read_series
def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
before = peak()
start, cpu = time.perf_counter(), sum(os.times()[:4])
series = read_series(Path(sys.argv[1]), workers=int(sys.argv[2]))
print(json.dumps({
    "seconds": time.perf_counter() - start,
    "cpu": sum(os.times()[:4]) - cpu,
    "volume": series.image.pixels.nbytes / 2**20,
    "memory": peak() - before,
    "worker": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
}))
"""

# Whoever reads with SimpleITK as its documentation says does this.
SIMPLEITK = """
import json, sys
import SimpleITK as sitk
sitk.ProcessObject.SetGlobalWarningDisplay(False)
reader = sitk.ImageSeriesReader()
answers = {}
for folder in sys.argv[1:]:
    try:
        names = reader.GetGDCMSeriesFileNames(folder)
        reader.SetFileNames(names)
        image = reader.Execute()
        answers[folder] = {
            "size": image.GetSize(), "spacing": image.GetSpacing(),
            "direction": image.GetDirection(), "origin": image.GetOrigin(),
            "lowest": float(sitk.GetArrayViewFromImage(image).min()),
        }
    except Exception as error:
        answers[folder] = {"error": type(error).__name__}
print(json.dumps(answers))
"""


def main() -> None:
    """Run what was asked for and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("speed", "damaged"))
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2, help="processes that decode JPEG 2000")
    parser.add_argument("--simpleitk", default=sys.executable, help="a Python that has SimpleITK")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.what == "speed":
            measure_speed(Path(folder), arguments.slices, arguments.workers)
        else:
            compare_damaged(Path(folder), arguments.simpleitk)


def measure_speed(folder: Path, num_slices: int, workers: int) -> None:
    """Print seconds and memory for plain and JPEG 2000 slices of 512 x 512."""
    truth = write_series(folder / "s", shape=(num_slices, 512, 512), spacing=(1.0, 0.7, 0.7))
    print(
        "| encoding | workers | slices | seconds | CPU seconds | volume, MiB "
        "| memory added, MiB | times | each worker, MiB |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    print_speed("uncompressed", truth.folder, num_slices, 1)
    for path in truth.paths:
        smooth(path)
    for number in (1, workers):
        print_speed("JPEG 2000 lossless", truth.folder, num_slices, number)


def smooth(path: Path) -> None:
    """Replace white noise, which no scanner makes, by a disc with CT's noise, and compress it."""
    dataset = dcmread(path)
    rows, columns = np.mgrid[:512, :512]
    disc = np.where((rows - 256) ** 2 + (columns - 256) ** 2 < 200**2, 1050, 24)
    noise = np.random.default_rng(int(dataset.InstanceNumber)).normal(0, 12, disc.shape)
    dataset.PixelData = np.clip(disc + noise, 0, 4095).astype(np.uint16).tobytes()
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    dataset.save_as(path)


def print_speed(name: str, folder: Path, num_slices: int, workers: int) -> None:
    """Read in a process of its own, so that its memory is the reader's, its workers' apart."""
    command = [sys.executable, "-c", READ_IN_A_PROCESS, str(folder), str(workers)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(run.stdout)
    print(
        f"| {name} | {workers} | {num_slices} | {found['seconds']:.1f} | {found['cpu']:.1f} "
        f"| {found['volume']:.0f} | {found['memory']:.0f} "
        f"| {found['memory'] / found['volume']:.2f} "
        f"| {'-' if workers == 1 else format(found['worker'], '.0f')} |"
    )


def compare_damaged(folder: Path, python: str) -> None:
    """Print what both readers make of each damage."""
    folders = {}
    for number, (name, (damage, _)) in enumerate({"none": (None, None), **DAMAGES}.items()):
        truth = write_series(folder / f"{number:02d}")
        if damage is not None:
            damage(truth, 2)
        folders[name] = truth
    command = [python, "-c", SIMPLEITK, *(str(truth.folder) for truth in folders.values())]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    theirs = json.loads(run.stdout.splitlines()[-1])
    print("| damage to the third of six slices | SimpleITK | breastseg |")
    print("| --- | --- | --- |")
    for name, truth in folders.items():
        print(f"| {name} | {say(theirs[str(truth.folder)], truth)} | {ours(truth.folder)} |")


def ours(folder: Path) -> str:
    """Say what this reader does."""
    try:
        read_series(folder)
    except ScanError as error:
        return f"`{error.fault}`"
    return "no error"


def say(answer: dict, truth) -> str:
    """Say what SimpleITK returned, where it differs from the truth."""
    if "error" in answer:
        return "error"
    slices = answer["size"][2]
    wrong = []
    if slices != SHAPE[0]:
        wrong.append(f"{slices} slices for {SHAPE[0]}")
    spacing = answer["spacing"][::-1]
    if not np.allclose(spacing, SPACING_MM, rtol=1e-3):
        wrong.append(f"slices {spacing[0]:.3g} mm apart for {SPACING_MM[0]}")
    across = np.reshape(answer["direction"], (3, 3))[:, 2]
    if not np.allclose(across, truth.affine[:3, 0] / SPACING_MM[0], atol=1e-3):
        wrong.append("another direction across the slices")
    if answer["lowest"] < truth.pixels.min() or answer["lowest"] >= 0:
        wrong.append(f"values from {answer['lowest']:g}")
    return "returns " + "; ".join(wrong) if wrong else "no error"


if __name__ == "__main__":
    main()
