"""Lesions found from Python: `breastseg.load(...)`, then `model.predict(...)`.

The same reading, network and measures as `breastseg predict`; nothing is written. Neither
PyTorch nor TensorFlow is needed, and matplotlib only by `Prediction.plot`.
"""

from breastseg.api.model import Model, load
from breastseg.api.prediction import Prediction
from breastseg.api.scan import Scan

__all__ = ["Model", "Prediction", "Scan", "load"]
