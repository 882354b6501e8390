"""A network in 8 bits: weights and activations are rounded to 256 levels each, by NNCF.

NNCF is needed to make one, not to run it. See docs/decisions/0028-an-8-bit-model.md.
"""

import contextlib
import io
import logging
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from breastseg.core.errors import MissingExtraError
from breastseg.networks.output import Images

_COUNTED = re.compile(r"^[A-Za-z]+_\d+(?=/|$)")


@dataclass(frozen=True, slots=True)
class Int8Network:
    """A network as OpenVINO's IR: model is the XML of its graph, weights its constants.

    Both are data alone; reading them runs no code.
    """

    model: bytes
    weights: bytes

    def arrays(self) -> Mapping[str, np.ndarray]:
        """Return both as arrays of bytes, by the names of their files."""
        named = {"int8.xml": self.model, "int8.bin": self.weights}
        return {name: np.frombuffer(data, np.uint8) for name, data in named.items()}


def quantise(
    network: bytes,
    images: Sequence[Images],
    *,
    asymmetric: bool = False,
    float_ends: bool = False,
    seen: Callable[[int], None] = lambda number: None,
) -> tuple[Int8Network, tuple[str, ...]]:
    """Round a network to 8 bits, to the ranges of values that images cause in it.

    Fast bias correction. Weights take half of their range (7 bits), so that
    no sum of products overflows on processors without VNNI: the result is the same on all.

    Args:
        network: an ONNX file.
        images: prepared, one at a time, sides multiples of the network's stride.
        asymmetric: ranges of activations need not lie evenly around 0; a little slower.
        float_ends: leave the first convolution and the last in float.
        seen: told how many of the images were run through the network.

    Returns:
        The network, and the names of the layers that stay in float because of float_ends.

    Raises:
        MissingExtraError: NNCF is not installed.
    """
    import openvino

    nncf = import_nncf()
    model = openvino.Core().read_model(network)
    kept = _ends(model) if float_ends else ()

    most = 0

    def counted(numbered: tuple[int, Images]) -> Images:
        nonlocal most
        number, image = numbered
        # Some are run again, to correct the bias of each layer.
        if number > most:
            most = number
            seen(number)
        return image

    symmetric = nncf.QuantizationPreset.PERFORMANCE
    # NNCF draws its own progress on stdout, which is for results.
    with contextlib.redirect_stdout(io.StringIO()):
        rounded = nncf.quantize(
            model,
            nncf.Dataset(list(enumerate(images, start=1)), counted),
            preset=nncf.QuantizationPreset.MIXED if asymmetric else symmetric,
            subset_size=len(images),
            ignored_scope=nncf.IgnoredScope(names=list(kept)) if kept else None,
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=nncf.OverflowFix.ENABLE
            ),
        )
    return _serialised(rounded), kept


def import_nncf() -> Any:
    """Import NNCF without what it would send home, and quiet.

    On import it would send usage statistics without having asked, unless `openvino_telemetry` is
    not installed: it looks so while NNCF is imported.

    Raises:
        MissingExtraError: it is not installed.
    """
    if (loaded := sys.modules.get("nncf")) is not None:
        return loaded
    name = "openvino_telemetry"
    before = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]  # how Python notes what is not there
    try:
        import nncf
    except ImportError:
        raise MissingExtraError(
            "8-bit networks are made by NNCF, which is not installed. Install it with "
            "`pip install 'breastseg[int8]'`. Predicting with them does not need it."
        ) from None
    finally:
        _restore(name, before)
    nncf.set_log_level(logging.ERROR)
    return nncf


def _restore(name: str, module: ModuleType | None) -> None:
    if module is None:
        del sys.modules[name]
    else:
        sys.modules[name] = module


def _ends(model: Any) -> tuple[str, ...]:
    """Return the names of the convolution at the image and of that before the logits."""
    ordered = model.get_ordered_ops()
    first = next(node for node in ordered if node.get_type_name() == "Convolution")
    last = model.output("logits").get_node()
    while last.get_type_name() != "Convolution":
        last = last.input_value(0).get_node()
    return (first.get_friendly_name(), last.get_friendly_name())


def _serialised(model: Any) -> Int8Network:
    import openvino

    # Nodes without a name are counted through the process: alike networks would differ.
    for place, node in enumerate(model.get_ordered_ops()):
        name = node.get_friendly_name()
        if _COUNTED.match(name):
            node.set_friendly_name(_COUNTED.sub(f"{node.get_type_name()}_{place}", name))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "int8.xml")
        # What stays in float stays in 32 bits: halving it would be another loss.
        openvino.save_model(model, path, compress_to_fp16=False)
        return Int8Network(path.read_bytes(), path.with_suffix(".bin").read_bytes())
