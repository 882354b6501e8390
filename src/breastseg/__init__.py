"""Finds breast lesions in scans by segmentation.

model = breastseg.load("runs/mine")
prediction = model.predict("scan.png")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from breastseg.api import Model, Prediction, load

__version__ = "0.1.0"
__all__ = ["Model", "Prediction", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Import what predicts when it is first asked for: importing the package takes no time."""
    if name in __all__:
        from breastseg import api

        return getattr(api, name)
    raise AttributeError(f"module 'breastseg' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
