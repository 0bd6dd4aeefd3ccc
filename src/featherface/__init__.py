"""featherface: a tiny, honest face detector. Boxes, scores and five landmarks, anywhere."""

from featherface.detections import Detections
from featherface.detector import Detector
from featherface.errors import FeatherFaceError
from featherface.zoo import ModelCard, list_models

__version__ = "0.1.0"

__all__ = ["Detections", "Detector", "FeatherFaceError", "ModelCard", "__version__", "list_models"]
