"""How long one picture and each further one take, beside nnU-Net's own command.

nnU-Net has its default 2D plan for breast ultrasound (33.5 million parameters, patches of
448 x 320, mirrored four ways) and random weights: no time depends on them. With --own-size a
U-Net of as many levels and feature maps runs in breastseg, too, at 448 x 448 and unmirrored,
after one epoch on phantoms. All commands are started anew for every measurement and take turns,
first with one picture, then with several; the table shows medians. Where `--peer` names no Python
with nnunetv2, only breastseg is measured.
"""

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Command = Callable[[Path, Path], list[str]]
_CONV, _NORM, _ACTIVATION = "conv.Conv2d", "instancenorm.InstanceNorm2d", "LeakyReLU"
_FEATURES = [32, 64, 128, 256, 512, 512, 512]
_INTENSITIES = {"mean": 60.0, "median": 50.0, "std": 40.0, "min": 0.0, "max": 255.0} | {
    "percentile_00_5": 0.0,
    "percentile_99_5": 200.0,
}
_OWN_SIZE = 448
_RESAMPLING = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}


def plans() -> dict[str, Any]:
    """Return the plan that nnU-Net 2.8.1 made for 100 images of BUS-BRA."""
    stages = len(_FEATURES)
    architecture = {
        "n_stages": stages,
        "features_per_stage": _FEATURES,
        "conv_op": f"torch.nn.modules.{_CONV}",
        "kernel_sizes": [[3, 3]] * stages,
        "strides": [[1, 1], *[[2, 2]] * (stages - 1)],
        "n_conv_per_stage": [2] * stages,
        "n_conv_per_stage_decoder": [2] * (stages - 1),
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.{_NORM}",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": f"torch.nn.{_ACTIVATION}",
        "nonlin_kwargs": {"inplace": True},
    }
    resampling = "resample_data_or_seg_to_shape"
    configuration = {
        "data_identifier": "nnUNetPlans_2d",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 14,
        "patch_size": [448, 320],
        "median_image_size_in_voxels": [450.0, 350.0],
        "spacing": [1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": resampling,
        "resampling_fn_seg": resampling,
        "resampling_fn_probabilities": resampling,
        "resampling_fn_data_kwargs": {**_RESAMPLING, "order": 3},
        "resampling_fn_seg_kwargs": {**_RESAMPLING, "is_seg": True},
        "resampling_fn_probabilities_kwargs": _RESAMPLING,
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": architecture,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": True,
    }
    return {
        "dataset_name": "Dataset999_Peer",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [999.0, 1.0, 1.0],
        "original_median_shape_after_transp": [1, 450, 350],
        "image_reader_writer": "NaturalImage2DIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {"2d": configuration},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": _INTENSITIES},
    }


def make_peer_model(folder: Path) -> None:
    """Write a trained model as nnU-Net keeps it, with random weights. Runs in its environment."""
    import torch
    from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

    network = plans()["configurations"]["2d"]["architecture"]
    built = get_network_from_plans(
        network["network_class_name"],
        network["arch_kwargs"],
        network["_kw_requires_import"],
        input_channels=1,
        output_channels=2,
        deep_supervision=True,
    )
    print(f"{sum(each.numel() for each in built.parameters()):,} parameters")
    dataset = {
        "channel_names": {"0": "ultrasound"},
        "labels": {"background": 0, "lesion": 1},
        "numTraining": 100,
        "file_ending": ".png",
    }
    (folder / "fold_0").mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans()))
    (folder / "dataset.json").write_text(json.dumps(dataset))
    torch.save(
        {
            "network_weights": built.state_dict(),
            "init_args": {"configuration": "2d"},
            "trainer_name": "nnUNetTrainer",
            "inference_allowed_mirroring_axes": (0, 1),
        },
        folder / "fold_0" / "checkpoint_final.pth",
    )


def breastseg(*arguments: object) -> None:
    """Run a command of breastseg."""
    command = [sys.executable, "-m", "breastseg", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


def make_own_size(folder: Path, data: Path) -> None:
    """Train a U-Net of nnU-Net's size for an epoch on a few phantoms."""
    breastseg("phantom", "ultrasound", "--num-cases", 20, "--output", data)
    command = ["train", data, "--recipe", "smoke", "--output", folder]
    for setting in (
        f"network.channels={_FEATURES}",
        f"preprocessing.size={_OWN_SIZE}",
        "optimisation.epochs=1",
        "optimisation.batch_size=2",
    ):
        command += ["--set", setting]
    breastseg(*command)


def make_pictures(folder: Path, count: int) -> None:
    """Make phantom pictures, named as nnU-Net wants them."""
    made = folder.parent / "phantoms"
    breastseg("phantom", "ultrasound", "--num-cases", count, "--output", made)
    images = sorted(path for path in made.rglob("*.png") if "_mask" not in path.name)
    folder.mkdir()
    for number, path in enumerate(images[:count]):
        shutil.copyfile(path, folder / f"picture-{number:03d}_0000.png")


def seconds(command: list[str], environment: dict[str, str]) -> float:
    """Return how long a command takes from start to end."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.perf_counter() - started


def contenders(peer: str, model: Path, ours: dict[str, str]) -> dict[str, Command]:
    """Return what predicts a folder of pictures into another, by name.

    Args:
        ours: what --model takes, by name.
    """
    found: dict[str, Command] = {}
    for (name, path), precision in itertools.product(ours.items(), ("float32", "bfloat16")):

        def predict(
            pictures: Path, output: Path, path: str = path, precision: str = precision
        ) -> list[str]:
            command = [sys.executable, "-m", "breastseg", "predict", str(pictures)]
            return [*command, "--model", path, "--precision", precision, "--output", str(output)]

        found[f"breastseg {name}, {precision}"] = predict
    if peer:
        theirs = Path(peer).parent / "nnUNetv2_predict_from_modelfolder"
        found["nnUNetv2_predict"] = lambda pictures, output: [
            *(str(theirs), "-i", str(pictures), "-o", str(output), "-m", str(model)),
            *("-f", "0", "-device", "cpu"),
        ]
    return found


def measure(given: argparse.Namespace, work: Path) -> dict[str, tuple[list[float], list[float]]]:
    """Return the seconds with one picture, and with all, of each contender."""
    make_pictures(work / "several", given.images)
    (work / "one").mkdir()
    shutil.copy(next((work / "several").iterdir()), work / "one")
    model = work / "peer" / "nnUNetTrainer__nnUNetPlans__2d"
    if given.peer:
        subprocess.run([given.peer, __file__, "--make-peer-model", str(model)], check=True)
    ours = {given.model: given.model}
    if given.own_size:
        make_own_size(work / "own-size", work / "own-phantoms")
        ours["U-Net of nnU-Net's size"] = str(work / "own-size")
    environment = {**os.environ, "nnUNet_results": str(work), "nnUNet_raw": str(work)}
    environment["nnUNet_preprocessed"] = str(work)
    times: dict[str, tuple[list[float], list[float]]] = {}
    for turn in range(given.repeats + 1):
        found = contenders(given.peer, model, ours)
        for number, (name, command) in enumerate(found.items()):
            for place, pictures in enumerate(("one", "several")):
                output = work / f"{turn}-{number}-{pictures}"
                spent = seconds(command(work / pictures, output), environment)
                if turn:  # the first fills caches
                    times.setdefault(name, ([], []))[place].append(spent)
    return times


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", default="", help="Python of an environment with nnunetv2")
    parser.add_argument("--model", default="ultrasound")
    parser.add_argument("--own-size", action="store_true", help="a U-Net of nnU-Net's size, too")
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--make-peer-model", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make_peer_model:
        make_peer_model(given.make_peer_model)
        return
    from rich.console import Console
    from rich.table import Table

    with tempfile.TemporaryDirectory() as work:
        times = measure(given, Path(work))
    table = Table(title=f"From the start of the command to its end, {os.cpu_count()} cores")
    for heading in ("command", "one picture, s", f"{given.images} pictures, s", "each further, ms"):
        table.add_column(heading)
    for name, (one, several) in times.items():
        first, last = statistics.median(one), statistics.median(several)
        further = 1000 * (last - first) / (given.images - 1)
        table.add_row(name, f"{first:.2f}", f"{last:.2f}", f"{further:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
