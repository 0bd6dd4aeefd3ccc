"""Labelled pictures: one value type, and readers of the label formats in use."""

from featherface.annotations.read import read_annotations
from featherface.annotations.types import Annotation

__all__ = ["Annotation", "read_annotations"]
