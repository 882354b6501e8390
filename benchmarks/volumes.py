"""What finding lesions in a CT costs: the whole command beside MONAI's sliding window.

    python benchmarks/volumes.py [--model MODEL] [--slices 75 150 300] [--peer PYTHON]
    python benchmarks/volumes.py --scan SCAN.nii.gz [--peer PYTHON]

breastseg: `breastseg predict` of a NIfTI volume, from reading it to the last page written. MONAI:
the same weights in PyTorch float32; the volume is read, brought to the network's spacing as a
whole, run by sliding_window_inference (overlap 0.5, Gaussian), brought back, cut at the threshold
and written as a mask. Each runs in a process of its own, in turns; import and start of Python do
not count. Peak memory is that of the process. The Dice of the two masks is taken in the breasts.

MONAI is no dependency. An environment for it, given by --peer:

    python3.11 -m venv peer
    echo "$PWD/.venv/lib/python3.11/site-packages" > peer/lib/python3.11/site-packages/peer.pth
    peer/bin/python -m pip install --no-deps monai==1.6.1

Without it the peer is left out, and the table says so.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from breastseg.core.image import Image
from breastseg.io.nifti import read_nifti, write_nifti
from breastseg.pipeline.breast_region import find_breasts
from breastseg.pipeline.volume_grid import VolumeGrid, standardise_hu
from breastseg.training.checkpoint import open_run
from breastseg.training.shipped import resolve_model

OURS, OURS_BF16, PEER = "breastseg float32", "breastseg bfloat16", "MONAI float32"
MASK = "mask.nii.gz"


def main() -> None:
    """Measure and print the table, or do the work of one contender."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ct-demo", help="a run, or a model that ships")
    parser.add_argument("--scan", type=Path, help="a CT in NIfTI, instead of crude chests")
    parser.add_argument("--slices", type=int, nargs="+", default=[75, 150, 300])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--peer", type=Path, default=Path(), help="Python of an environment with MONAI"
    )
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        name, run, scan, output = given.work
        print(json.dumps(_work(name, Path(run), Path(scan), Path(output), given.threads)))
        return
    with tempfile.TemporaryDirectory() as folder:
        _measure(given, Path(folder))


def _measure(given: argparse.Namespace, folder: Path) -> None:
    run = resolve_model(given.model)
    contenders = {OURS: sys.executable, OURS_BF16: sys.executable}
    if given.peer.name and _has_monai(given.peer):
        contenders[PEER] = str(given.peer)
    table = Table("slices", "", "seconds (median)", "peak MiB", f"Dice with {OURS}")
    for scan in [given.scan] if given.scan else _chests(given.slices, folder):
        image = read_nifti(scan)
        slices = len(image.pixels)
        region = find_breasts(image).labels > 0
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
        for _ in range(given.repeats):
            for name, python in contenders.items():
                output = folder / f"{slices}-{name}".replace(" ", "-")
                found[name].append(_in_process(python, name, run, scan, output, given.threads))
        masks = {name: _mask(results[-1]) for name, results in found.items()}
        for name, results in found.items():
            table.add_row(
                str(slices),
                name,
                f"{statistics.median(each['seconds'] for each in results):.1f}",
                f"{max(each['peak_mib'] for each in results):.0f}",
                _dice(masks[name] & region, masks[OURS] & region),
            )
    console = Console()
    size = " x ".join(str(side) for side in image.pixels.shape[1:])
    console.print(f"{given.threads} threads, {given.repeats} repeats, {size}, {run.name}")
    console.print(table)
    if PEER not in contenders:
        console.print("MONAI was left out: --peer names no Python with it. See --help.")


def _has_monai(python: Path) -> bool:
    return subprocess.run([python, "-c", "import monai"], check=False).returncode == 0


def _in_process(
    python: str, name: str, run: Path, scan: Path, output: Path, threads: int
) -> dict[str, Any]:
    work = [name, str(run), str(scan), str(output)]
    command = [python, __file__, "--threads", str(threads), "--work", *work]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return document


def _work(name: str, run: Path, scan: Path, output: Path, threads: int) -> dict[str, Any]:
    work = _monai if name == PEER else _breastseg
    begun = time.perf_counter()
    mask = work(name, run, scan, output, threads)
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "peak_mib": peak, "mask": str(mask)}


def _breastseg(name: str, run: Path, scan: Path, output: Path, threads: int) -> Path:
    from breastseg.workflows.predict import predict

    result = predict(
        [scan],
        model=run,
        output=output,
        threads=threads,
        overwrite=True,
        precision="bfloat16" if name == OURS_BF16 else "float32",
    )
    return output / result.cases[0].case_id / MASK


def _monai(_name: str, run: Path, scan: Path, output: Path, threads: int) -> Path:
    import torch
    from monai.inferers import sliding_window_inference

    from breastseg.backends.protocol import BackendConfig, make_backend

    opened = open_run(run)
    recipe, volume = opened.recipe, opened.recipe.volume
    assert volume is not None
    config = BackendConfig(
        network=recipe.network,
        loss=recipe.loss,
        optimisation=recipe.optimisation.model_copy(
            update={"precision": "float32", "deep_supervision": 0}
        ),
        device="cpu",
        num_threads=threads,
    )
    backend = make_backend("pytorch", config)
    backend.load_weights(opened.weights())

    def network(tiles: Any) -> Any:
        return torch.from_numpy(backend.predict_logits(tiles.numpy()))

    image = read_nifti(scan)
    grid = VolumeGrid.fit(image, volume.spacing_mm)
    prepared = torch.from_numpy(standardise_hu(grid.apply(image.pixels), volume))
    with torch.inference_mode():
        logits = sliding_window_inference(
            prepared[None, None], volume.patch, 1, network, overlap=0.5, mode="gaussian"
        )
        probability = torch.sigmoid(logits / opened.calibration.temperature)[0, 0].numpy()
    mask = np.zeros(image.pixels.shape, np.float32)
    grid.box_of(mask)[...] = grid.invert(probability) >= opened.operating_threshold
    output.mkdir(exist_ok=True)
    write_nifti(output / MASK, Image(pixels=mask, affine=image.affine), dtype=np.uint8)
    return output / MASK


def _chests(numbers: Iterable[int], folder: Path) -> Iterator[Path]:
    for slices in numbers:
        path = folder / f"scan-{slices}.nii.gz"
        write_nifti(path, _chest(slices), dtype=np.int16)
        yield path


def _chest(slices: int) -> Image:
    """Return a crude chest with two breasts and a lesion in each, 512 x 512, slices of 1 mm."""
    y, x = np.mgrid[:512, :512].astype(np.float32) * 0.8 - 204.8
    noise = np.random.default_rng(0).normal(0, 12, (slices, 512, 512)).astype(np.float32)
    hu = np.full((slices, 512, 512), -1000, np.float32)
    for index in range(slices):
        z = index - slices / 2
        plane = np.full(x.shape, -1000, np.float32)
        plane[np.hypot(x / 156, (y - 40) / 106) < 1] = -100
        for side in (-1, 1):
            out = ((side * x - 75) / 60) ** 2 + ((y + 40) / 45) ** 2 + (z / 65) ** 2
            plane[out < 1] = -100
        plane[np.hypot(x / 148, (y - 40) / 98) < 1] = 50
        ribs = (np.hypot(x / 140, (y - 40) / 90) < 1) & (np.hypot(x / 132, (y - 40) / 82) > 1)
        plane[ribs & (index % 24 < 12)] = 600
        plane[np.hypot((np.abs(x) - 70) / 58, (y - 40) / 74) < 1] = -800
        for side in (-1, 1):
            lesion = (side * x - 75) ** 2 + (y + 62) ** 2 + z**2 < 9**2
            plane[lesion] = 60
        hu[index] = plane
    affine = np.array([[0, 0, 0.8, -204.8], [0, 0.8, 0, -204.8], [1, 0, 0, 0], [0, 0, 0, 1.0]])
    return Image(pixels=np.rint(np.clip(hu + noise, -1024, 3071)), affine=affine)


def _mask(result: dict[str, Any]) -> np.ndarray:
    return np.asarray(read_nifti(Path(result["mask"])).pixels > 0)


def _dice(first: np.ndarray, second: np.ndarray) -> str:
    together = int(first.sum()) + int(second.sum())
    return f"{2 * (first & second).sum() / together:.4f}" if together else "both empty"


if __name__ == "__main__":
    main()
