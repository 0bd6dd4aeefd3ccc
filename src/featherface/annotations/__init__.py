"""Labelled pictures: one value type, and readers of the label formats in use."""

from featherface.annotations.types import Annotation
from featherface.annotations.read import read_annotations

__all__ = ["Annotation", "read_annotations"]
