"""Training samples: sample i of a run is always the same crop, whoever loads it and whenever."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from featherface.annotations import Annotation, read_annotations
from featherface.errors import ConfigError
from featherface.train.augment import (
    Labels,
    View,
    darken,
    join,
    no_labels,
    recolour,
    view_image,
    view_labels,
)
from featherface.train.cache import ImageCache
from featherface.train.compose import Square, free_squares, pasted, quarters
from featherface.train.config import DataConfig
from featherface.train.occlude import cover_faces

_LEAST_PART = 0.5
"""A picture's longer side fills at least this part of its window."""

_PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp"}


@dataclass(frozen=True)
class Sample:
    """One crop (S, S, 3) uint8 RGB and its faces."""

    image: NDArray[np.uint8]
    labels: Labels


@dataclass(frozen=True)
class Picture:
    """A labelled picture and how often it is drawn."""

    path: Path
    labels: Labels
    weight: float


def load_pictures(config: DataConfig) -> list[Picture]:
    """All pictures of the sources; each source's weights sum to its own. ConfigError when there are none."""
    if not config.sources:
        raise ConfigError("data.sources names no labelled set")
    pictures: list[Picture] = []
    for source in config.sources:
        annotations = read_annotations(Path(source.labels), source.format)
        if not annotations:
            raise ConfigError(f"data.sources: {source.labels} holds no pictures")
        raw = np.array([max(1, int((~a.ignored).sum())) ** config.crowd_power for a in annotations])
        weights = raw / raw.sum() * source.weight
        pictures += [_picture(a, float(w)) for a, w in zip(annotations, weights, strict=True)]
    missing = [str(p.path) for p in pictures if not p.path.is_file()]
    if missing:
        raise ConfigError(f"{len(missing)} labelled pictures are missing, the first is {missing[0]}")
    return pictures


def load_negatives(config: DataConfig) -> list[Picture]:
    """The pictures of the negatives folder, or none."""
    if not config.negatives:
        return []
    paths = sorted(p for p in Path(config.negatives).rglob("*") if p.suffix.lower() in _PICTURES)
    if not paths:
        raise ConfigError(f"data.negatives: {config.negatives} holds no pictures")
    return [Picture(path, no_labels(), 1 / len(paths)) for path in paths]


def _picture(annotation: Annotation, weight: float) -> Picture:
    labels = Labels(annotation.boxes, annotation.landmarks, annotation.ignored)
    return Picture(annotation.path, labels, weight)


class CropDataset(Dataset[Sample]):
    """Crops by number: crop i depends on the seed and i alone, so a resumed run sees the same ones."""

    def __init__(
        self, pictures: Sequence[Picture], negatives: Sequence[Picture], config: DataConfig, seed: int
    ):
        self.pictures, self.negatives, self.config, self.seed = pictures, negatives, config, seed
        weights = np.array([p.weight for p in pictures])
        self.cumulative = np.cumsum(weights / weights.sum())
        self.cache = ImageCache(config.cache_dir, config.cache_gb)

    @classmethod
    def of(cls, config: DataConfig, seed: int) -> CropDataset:
        """Crops of all that a recipe's data names; ConfigError as in `load_pictures` and `load_negatives`."""
        return cls(load_pictures(config), load_negatives(config), config, seed)

    def digest(self) -> str:
        """Names the pictures and their labels: where it differs, crop i is another one."""
        told = hashlib.sha256()
        for picture in (*self.pictures, *self.negatives):
            labels = picture.labels
            told.update(
                f"{picture.path.name} {picture.weight!r} {len(labels)} ".encode(errors="surrogateescape")
            )
            for values in (labels.boxes, labels.landmarks, labels.ignored):
                told.update(np.ascontiguousarray(values).tobytes())
        return told.hexdigest()

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng((self.seed, index))
        size = self.config.crop_size
        if rng.random() < self.config.mosaic_rate:
            return self._several(rng, np.empty((size, size, 3), np.uint8), [], quarters(size))
        image, labels, free = self._crop(rng, size)
        return self._several(rng, self._varied(image, labels, rng), [labels], free)

    def _varied(
        self, image: NDArray[np.uint8], labels: Labels, rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Faces covered and light taken where the recipe asks for it, else no number is drawn for it; recoloured."""
        if self.config.occlude_rate:
            image = cover_faces(image, labels, self.config.occlude_rate, rng)
        image = recolour(image, rng)  # what covers is seen by the same camera
        if self.config.darken_rate and rng.random() < self.config.darken_rate:
            image = darken(image, rng)
        return image

    def _several(
        self, rng: np.random.Generator, canvas: NDArray[np.uint8], parts: list[Labels], places: list[Square]
    ) -> Sample:
        """The canvas with a crop of its own in each of the places, beside the parts that it has."""
        for place in places:
            image, labels, _ = self._crop(rng, place.side)
            parts = [*parts, pasted(canvas, self._varied(image, labels, rng), labels, place)]
        return Sample(canvas, join(parts))

    def _crop(self, rng: np.random.Generator, size: int) -> tuple[NDArray[np.uint8], Labels, list[Square]]:
        """A crop, its faces, and the places that its picture leaves free, where the recipe fills them."""
        config = self.config
        picture, box, drawn = self.drawn(rng)
        image = self.cache.read(picture.path)
        height, width = image.shape[:2]
        view = choose_view(rng, width, height, box, drawn, size, config)
        labels = view_labels(picture.labels, view, size, config.min_face)
        free = free_squares(view, width, height, size, config.fill_from)
        return view_image(image, view, size), labels, free

    def drawn(self, rng: np.random.Generator) -> tuple[Picture, NDArray[np.float32] | None, float | None]:
        """A picture, one of its faces if it has any, and the size that this one is to have in the crop, pixels."""
        drawn = draw_face_size(rng, self.config)
        picture = self._draw(rng)
        box = draw_face(rng, picture.labels)
        for _ in range(self.config.redraws):
            if drawn is None or box is None or drawn <= self.config.max_enlarge * _side(box):
                break
            # Among the labelled ones: each try would be another chance for a negative, which the search ends with.
            picture = self._labelled(rng)
            box = draw_face(rng, picture.labels)
        return picture, box, drawn

    def _draw(self, rng: np.random.Generator) -> Picture:
        if self.negatives and rng.random() < self.config.negative_rate:
            return self.negatives[int(rng.integers(len(self.negatives)))]
        return self._labelled(rng)

    def _labelled(self, rng: np.random.Generator) -> Picture:
        place = int(np.searchsorted(self.cumulative, rng.random(), side="right"))
        return self.pictures[min(place, len(self.pictures) - 1)]


def draw_face_size(rng: np.random.Generator, config: DataConfig) -> float | None:
    """The size that a face is to have in the crop; None for crops near the picture's own scale."""
    if rng.random() < config.native_rate:
        return None
    return float(np.exp(rng.uniform(*np.log(config.face_size))))


def draw_face(rng: np.random.Generator, labels: Labels) -> NDArray[np.float32] | None:
    """The box (4,) of one of the faces that count, or None."""
    faces = np.flatnonzero(~labels.ignored)
    return labels.boxes[rng.choice(faces)] if len(faces) else None


def _side(box: NDArray[np.float32]) -> float:
    return max(float(np.sqrt(np.prod(box[2:] - box[:2]))), 1.0)


def choose_view(
    rng: np.random.Generator,
    width: int,
    height: int,
    box: NDArray[np.float32] | None,
    drawn: float | None,
    size: int,
    config: DataConfig,
) -> View:
    """A window that holds the face `box`: near the picture's own scale, or with the face at the drawn size."""
    degrees = rng.uniform(-1, 1) * config.rotate_degrees if rng.random() < config.rotate_rate else 0.0
    flip = bool(rng.random() < 0.5)
    native = np.exp(rng.uniform(*np.log(config.native_scale)))
    if box is None:
        half = size / native / 2
        centre = (rng.uniform(min(half, width / 2), max(width - half, width / 2)),
                  rng.uniform(min(half, height / 2), max(height - half, height / 2)))  # fmt: skip
        return View(centre, float(native), degrees, flip)
    scale = native if drawn is None else drawn / _side(box)
    # A face larger than the window could never be seen whole.
    scale = min(scale, config.max_enlarge, 0.9 * size / max(float((box[2:] - box[:2]).max()), 1.0))
    scale = max(scale, _LEAST_PART * size / max(width, height))
    window = size / scale
    slack = np.maximum(window - (box[2:] - box[:2]), 0) / 2
    centre_xy = (box[:2] + box[2:]) / 2 + rng.uniform(-1, 1, 2) * slack
    # Moved so that the window shows as much of the picture as it can: padding teaches nothing.
    ends = np.array([width, height]) - window / 2
    low, high = np.minimum(window / 2, ends), np.maximum(window / 2, ends)
    centre_xy = centre_xy.clip(low, high)
    if config.fill_from:  # in a corner, where it leaves most room for others
        centre_xy = np.where(ends < window / 2, np.where(rng.random(2) < 0.5, low, high), centre_xy)
    if np.hypot(*(centre_xy - (box[:2] + box[2:]) / 2)) > window / 2:
        degrees = 0.0  # a face in the corner would be turned out of the window
    return View((float(centre_xy[0]), float(centre_xy[1])), float(scale), degrees, flip)
