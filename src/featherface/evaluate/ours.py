"""Models of ours, and any file the detector opens, as candidates of a comparison."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from featherface.detections import Detections
from featherface.detector import Detector
from featherface.evaluate.compare import EVALUATED, FOUND, Candidate
from featherface.evaluate.onnx_size import onnx_size
from featherface.evaluate.protocol import protocol
from featherface.images import Image, new_input
from featherface.runtime import open_session
from featherface.zoo import find_model, list_models


def our_candidate(model: str) -> Candidate:
    """A shipped model by name, or a model file; protocol `original`, one thread.

    Raises ModelError when there is none such or it cannot be run, ConfigError when it takes pictures of one size
    only, for which protocol `original` cannot be run.
    """
    how = protocol("original")
    file = Path(find_model(model))
    session = open_session(file, threads=1)
    how.check_fits(model, session.spec.input_size)
    detectors = {
        score: Detector(session, score, iou_threshold=how.iou_threshold, max_detections=how.max_detections)
        for score in (EVALUATED, FOUND)
    }

    def detect(image: Image, score: float) -> Detections:
        return detectors[score].detect(image, scales=(1.0,))

    def prepare(image: Image) -> Callable[[], object]:
        spec = session.spec
        images = new_input(image, spec.pad_multiple, spec.input_size, spec.as_bytes)
        return lambda: session.run(images)

    shipped = {info.name: info.parameters for info in list_models()}
    countable = file.suffix == ".onnx" and not session.spec.as_bytes  # by running it on floats
    weights, operations = onnx_size(file) if countable else (None, None)
    name = model if model in shipped else file.stem
    return Candidate(name, detect, prepare, file, shipped.get(model, weights), operations)
