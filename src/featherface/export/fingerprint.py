"""From what an exported file was made, so that a file of the same name made from something else is not taken for it."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from featherface.export.calibration import find_pictures
from featherface.export.options import Options
from featherface.export.versions import versions
from featherface.model.network import FeatherFace
from featherface.runtimes.card import card_path

_INT8_BY = 5
"""Raised whenever int8 files of the same network and pictures come out otherwise: they are made anew then."""


def fingerprint(model: FeatherFace, options: Options) -> str:
    """A sha256 of the network, its weights and the options, calibration pictures included."""
    digest = hashlib.sha256(repr((model.config, _told(options))).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    if options.calibration is not None:
        for picture in find_pictures(options.calibration, options.calibration_images):
            with suppress(OSError):  # nothing is calibrated on a picture that cannot be read
                digest.update(picture.read_bytes())
    return digest.hexdigest()


def is_made_from(path: Path, model: FeatherFace, options: Options) -> bool:
    """Whether the JSON beside the file says that it was made from these, by the packages that are installed now."""
    try:
        about = json.loads(card_path(path).read_text(encoding="utf-8"))
        return bool(about["made_from"] == fingerprint(model, options) and about["versions"] == versions())
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _told(options: Options) -> tuple[object, ...]:
    return (
        *((_INT8_BY,) if options.precision == "int8" else ()),
        options.format.name,
        options.input_size,
        options.precision,
        options.with_decode,
        options.with_nms,
        options.stays_float,
        options.score_threshold,
        options.iou_threshold,
        options.max_detections,
    )
