"""featherface: a tiny, honest face detector. Boxes, scores and five landmarks, anywhere."""

import os

# ONNX Runtime 1.32 holds code that reports its use to its makers; this, set before it is loaded, turns it off. Whoever
# wants it sets the variable to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from featherface.detections import Detections
from featherface.detector import Detector
from featherface.errors import FeatherFaceError
from featherface.zoo import ModelCard, list_models

__version__ = "0.1.0"

__all__ = ["Detections", "Detector", "FeatherFaceError", "ModelCard", "__version__", "list_models"]
