"""Networks as OpenVINO has compiled them, kept so that the next start need not build them again.

See docs/decisions/0008-what-the-cache-keeps.md.
"""

import hashlib
import io
import json
import logging
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

import numpy as np

from breastseg import __version__
from breastseg.core.network_recipe import NetworkSpec
from breastseg.io import cache

KIND = "compiled-networks"
MOST_BYTES = 512 * 2**20
"""Of all that are kept together; the one that was unused for longest goes first."""

_log = logging.getLogger(__name__)


def key_of(
    core: Any, spec: NetworkSpec, weights: Mapping[str, np.ndarray], settings: Mapping[str, str]
) -> str:
    """Return the digest of all that a compiled network depends on, 64 hex digits.

    That is the network and its weights, the code that builds it, OpenVINO, its settings
    (precision, threads) and the processor.
    """
    import openvino

    digest = hashlib.sha256()
    about = {
        "breastseg": __version__,
        "openvino": openvino.__version__,
        "settings": dict(settings),
        "processor": core.get_property("CPU", "FULL_DEVICE_NAME"),
        "capabilities": sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
        "network": [type(spec).__name__, spec.model_dump(mode="json")],
        "weights": [(name, weights[name].shape) for name in sorted(weights)],
    }
    digest.update(json.dumps(about, sort_keys=True).encode())
    builder = (each for each in files("breastseg.backends.onnx").iterdir() if each.is_file())
    for each in sorted(builder, key=lambda file: file.name):
        digest.update(each.read_bytes())
    for name in sorted(weights):
        digest.update(np.ascontiguousarray(weights[name]).data)
    return digest.hexdigest()


def compiled(
    core: Any,
    build: Callable[[], tuple[bytes, ...]],
    settings: Mapping[str, str],
    *,
    key: str | None,
) -> Any:
    """Return a network compiled for the CPU: kept from before, or built, compiled and kept.

    Args:
        core: openvino.Core.
        build: returns an ONNX file, or graph and constants of an IR; called only where nothing is
            kept.
        settings: of OpenVINO.
        key: of key_of; None neither reads nor fills the cache.
    """
    kept = None if key is None else cache.load_bytes(KIND, key)
    if kept is not None:
        try:
            return core.import_model(io.BytesIO(kept), "CPU", dict(settings))
        except RuntimeError as error:
            _log.info("A compiled network of the cache is not used: %s", error)
    network = core.compile_model(core.read_model(*build()), "CPU", dict(settings))
    if key is not None and cache.cache_dir() is not None:
        _keep(network, key)
    return network


def _keep(network: Any, key: str) -> None:
    try:
        content = network.export_model().getvalue()
    except RuntimeError as error:
        _log.info("The network cannot be kept compiled: %s", error)
        return
    cache.keep_bytes(KIND, key, content, most_bytes=MOST_BYTES)
