"""Running the ONNX network: OpenVINO, or ONNX Runtime where that is installed.

Neither is imported before a network is opened.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np

from breastseg.core.errors import GeometryError, InputError, MissingExtraError
from breastseg.core.network_recipe import NetworkSpec
from breastseg.inference import compiled_models
from breastseg.inference.int8 import Int8Network
from breastseg.networks.output import Images, Logits, NetworkOutput
from breastseg.networks.spec import Array
from breastseg.pipeline.preprocess import cropped_to, pad_to_stride

Device = Literal["cpu", "cuda"]
Precision = Literal["float32", "bfloat16", "int8"]
RuntimeName = Literal["openvino", "onnxruntime"]


class Runtime(Protocol):
    """A network ready to be used; calls of several threads wait for each other."""

    def logits(self, images: Images) -> Logits:
        """Return the logits of images of any size, on their own grid.

        Raises:
            GeometryError: the images do not have the network's number of channels.
        """
        ...

    def predict(self, images: Images) -> NetworkOutput:
        """Return the logits of images and, where the network tells any, of their classes.

        Raises:
            GeometryError: see logits.
        """
        ...


def open_runtime(
    spec: NetworkSpec,
    weights: Mapping[str, Array] | Int8Network,
    *,
    runtime: RuntimeName | None = None,
    device: Device = "cpu",
    threads: int | None = None,
    precision: Precision = "float32",
    cached: bool = False,
) -> Runtime:
    """Build the network and load it into a runtime.

    Args:
        weights: canonical names, see networks.spec; or a network that was rounded to 8 bits.
        runtime: None takes OpenVINO on the CPU and ONNX Runtime on a GPU.
        threads: of the CPU; None leaves it to the runtime.
        precision: float32 agrees with the training frameworks to 1e-4 on logits; bfloat16
            is about twice as fast and moves them by about 1 % of their range; int8 is that of
            an Int8Network, and of nothing else.
        cached: keep the network as OpenVINO compiles it in the user's cache, or take it from
            there: the next start is faster.

    Raises:
        WeightsError: the weights do not fit the network.
        InputError: the machine does not offer the device or precision, the weights are not of
            that precision, or threads is below 1.
        MissingExtraError: ONNX Runtime is asked for and not installed.
    """
    if threads is not None and threads < 1:
        raise InputError(f"threads must be 1 or more, got {threads}. Leave it out to use all.")
    _check_choice("device", device, ("cpu", "cuda"))
    if runtime is None:
        runtime = "openvino" if device == "cpu" else "onnxruntime"
    _check_choice("runtime", runtime, ("openvino", "onnxruntime"))
    _check_int8(weights, precision, runtime)
    if runtime == "onnxruntime":
        (network,) = _files_of(spec, weights)
        return OnnxRuntime(network, spec, device=device, threads=threads, precision=precision)
    return OpenVinoRuntime(
        lambda: _files_of(spec, weights),
        spec,
        device=device,
        threads=threads,
        precision=precision,
        key_weights=_arrays_of(weights) if cached else None,
    )


def has_bfloat16() -> bool:
    """Whether OpenVINO runs bfloat16 on this processor."""
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _files_of(spec: NetworkSpec, weights: Mapping[str, Array] | Int8Network) -> tuple[bytes, ...]:
    """Return one ONNX file; of an 8-bit network the graph and the constants of its IR."""
    if isinstance(weights, Int8Network):
        return weights.model, weights.weights
    from breastseg.backends.onnx.network import build_onnx

    return (bytes(build_onnx(spec, weights).SerializeToString()),)


def _arrays_of(weights: Mapping[str, Array] | Int8Network) -> Mapping[str, np.ndarray]:
    return weights.arrays() if isinstance(weights, Int8Network) else weights


def _check_int8(
    weights: Mapping[str, Array] | Int8Network, precision: Precision, runtime: RuntimeName
) -> None:
    rounded = isinstance(weights, Int8Network)
    if rounded != (precision == "int8"):
        raise InputError(
            "an 8-bit network runs in the precision int8 alone, and no other network does: got "
            f"{'8-bit' if rounded else 'float'} weights and precision {precision}."
        )
    if rounded and runtime != "openvino":
        raise InputError(
            "an 8-bit network runs through OpenVINO on the CPU. Use the device cpu, or the model "
            "that it was made from."
        )


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        expected = " or ".join(f"'{choice}'" for choice in choices)
        raise InputError(f"{name} must be {expected}, got '{value}'.")


class OpenVinoRuntime:
    """The network on the CPU through OpenVINO."""

    def __init__(
        self,
        build: Callable[[], tuple[bytes, ...]],
        spec: NetworkSpec,
        *,
        device: Device = "cpu",
        threads: int | None = None,
        precision: Precision = "float32",
        key_weights: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Take the compiled network of these weights from the cache; build it where None."""
        import openvino

        if device != "cpu":
            raise InputError("OpenVINO runs here on the CPU only. Use the ONNX Runtime for CUDA.")
        core = openvino.Core()
        offered = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision == "bfloat16" and "BF16" not in offered:
            raise InputError(
                f"precision bfloat16 needs a CPU that has it, this one has {', '.join(offered)}. "
                "Use float32."
            )
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
        }
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = str(threads)
        self._spec = spec
        key = None
        if key_weights is not None:
            key = compiled_models.key_of(core, spec, key_weights, settings)
        network = compiled_models.compiled(core, build, settings, key=key)
        self._request = network.create_infer_request()
        self._free = threading.Lock()

    def logits(self, images: Images) -> Logits:
        """See Runtime.logits."""
        return self.predict(images).logits

    def predict(self, images: Images) -> NetworkOutput:
        """See Runtime.predict."""
        padded = _padded(images, self._spec)
        with self._free:
            found = self._request.infer([padded]).to_tuple()
        return _output(found, images)


class OnnxRuntime:
    """The network through ONNX Runtime, on the CPU or on a CUDA device."""

    def __init__(
        self,
        model: bytes,
        spec: NetworkSpec,
        *,
        device: Device = "cpu",
        threads: int | None = None,
        precision: Precision = "float32",
    ) -> None:
        onnxruntime = _onnxruntime(device)
        if precision != "float32":
            raise InputError(f"ONNX Runtime runs float32 here, got precision {precision}.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        provider = "CPUExecutionProvider" if device == "cpu" else "CUDAExecutionProvider"
        self._spec = spec
        self._free = threading.Lock()
        self._session = onnxruntime.InferenceSession(model, options, providers=[provider])

    def logits(self, images: Images) -> Logits:
        """See Runtime.logits."""
        return self.predict(images).logits

    def predict(self, images: Images) -> NetworkOutput:
        """See Runtime.predict."""
        padded = _padded(images, self._spec)
        with self._free:
            found = self._session.run(None, {"image": padded})
        return _output(found, images)


def _onnxruntime(device: Device) -> Any:
    """Import ONNX Runtime and see that it can use the device."""
    package = "onnxruntime" if device == "cpu" else "onnxruntime-gpu"
    try:
        import onnxruntime
    except ImportError:
        command = "'breastseg[onnxruntime]'" if device == "cpu" else package
        raise MissingExtraError(
            f"ONNX Runtime is not installed. Install it with `pip install {command}`."
        ) from None
    offered = onnxruntime.get_available_providers()
    if device == "cuda" and "CUDAExecutionProvider" not in offered:
        raise InputError(
            f"device cuda needs an ONNX Runtime with CUDA, this one has {', '.join(offered)}. "
            f"Install it with `pip install {package}` in place of onnxruntime, or use the "
            "device cpu."
        )
    return onnxruntime


def _padded(images: Images, spec: NetworkSpec) -> Images:
    if images.ndim != 2 + spec.dimensions or images.shape[1] != spec.input_channels:
        axes = "rows, columns" if spec.dimensions == 2 else "slices, rows, columns"
        raise GeometryError(
            f"the network takes images (batch, {spec.input_channels}, {axes}), "
            f"got the shape {images.shape}."
        )
    padded = pad_to_stride(images, spec.stride)
    return np.ascontiguousarray(padded, np.float32)


def _output(found: Sequence[Any], images: Images) -> NetworkOutput:
    logits, *of_classes = (np.asarray(array, np.float32) for array in found)
    return NetworkOutput(cropped_to(logits, images.shape), *(of_classes or (None,)))
