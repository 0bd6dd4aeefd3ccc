"""Faces made unrecognisable: in pictures, and over the frames of a video."""

from featherface.anonymise.bridge import bridge
from featherface.anonymise.check import Check, check
from featherface.anonymise.hide import METHODS, SHAPES, Style, grown, hide, load_cover
from featherface.anonymise.look import find_faces
from featherface.anonymise.photo import Anonymised, anonymise_bytes, anonymise_photo

__all__ = [
    "METHODS",
    "SHAPES",
    "Anonymised",
    "Check",
    "Style",
    "anonymise_bytes",
    "anonymise_photo",
    "bridge",
    "check",
    "find_faces",
    "grown",
    "hide",
    "load_cover",
]
