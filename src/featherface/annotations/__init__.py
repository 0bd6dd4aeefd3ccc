"""Labelled pictures: one value type, readers and writers of the label formats in use."""

from featherface.annotations.read import FORMATS, read_annotations, write_annotations
from featherface.annotations.types import Annotation

__all__ = ["FORMATS", "Annotation", "read_annotations", "write_annotations"]
