"""featherface: a tiny, honest face detector. Boxes, scores and five landmarks, anywhere."""

__version__ = "0.1.0"
