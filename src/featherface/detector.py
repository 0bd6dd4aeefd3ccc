"""From a picture to its faces: resize, run the network, decode, suppress, merge."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from featherface.boxes import agreement, decode_boxes, decode_landmarks, nms, parts_of_larger, voices, vote
from featherface.detections import Detections, concatenate
from featherface.errors import ConfigError, ImageError, ModelError
from featherface.images import (
    MAX_PIXELS,
    Image,
    ImageSource,
    Input,
    empty_input,
    fill_input,
    input_in,
    input_nbytes,
    input_shape,
    read_image,
    resize,
)
from featherface.priors import prior_boxes
from featherface.runtime import Session, open_session
from featherface.zoo import find_model

FLIPPED_POINTS = (1, 0, 2, 4, 3)
TILE_OVERLAP = 0.25
_MAX_CANDIDATES = 5000
# Priors end at 512 pixels: from some 650 on a face is found in fragments, each with a score of its own. So a picture of
# more than _TALL rows is also seen with a longer side of _OVERVIEW, which finds faces of all sizes that the first look
# does not; each look keeps the sizes that it sees better.
_TALL, _OVERVIEW = 800, 640
_LARGEST_FACE, _LEAST_IN_OVERVIEW = 640, 64
_VOTE_IOU = 0.5
# A box that ends this close to an inner edge of its tile is cut; a neighbouring tile or the overview has it whole.
_TILE_EDGE = 2.0
# Fresh memory for every input costs several milliseconds in page faults; so each thread keeps that of its last one,
# unless it was large.
_KEPT_BYTES = 32 << 20
_kept = threading.local()


class Detector:
    """Finds faces. Safe to share between threads; can be pickled.

    `model` is the name of a shipped model or the path of an exported one. Raises ModelError when there is
    none such, ConfigError for a threshold outside [0, 1] or a number below its least value.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Session = "v2",
        score_threshold: float = 0.5,
        iou_threshold: float = 0.4,
        max_detections: int = 750,
        threads: int | None = None,
    ) -> None:
        for name, value in (("score_threshold", score_threshold), ("iou_threshold", iou_threshold)):
            if not 0 <= value <= 1:
                raise ConfigError(f"{name} = {value}: must lie between 0 and 1")
        if max_detections < 1:
            raise ConfigError(f"max_detections = {max_detections}: must be at least 1")
        if threads is not None and threads < 1:
            raise ConfigError(f"threads = {threads}: must be at least 1")
        self.score_threshold, self.iou_threshold = score_threshold, iou_threshold
        self.max_detections = max_detections
        is_file = isinstance(model, str | os.PathLike)
        self.session: Session = open_session(find_model(model), threads) if is_file else model  # type: ignore[arg-type, assignment]

    def detect(
        self,
        image: ImageSource,
        *,
        scales: Sequence[float] | None = None,
        flip: bool = False,
        long_side: int | None = None,
        tile: int | None = None,
        bgr: bool = False,
        agree: bool = False,
    ) -> Detections:
        """The faces of one picture, in its own pixels, at its original size unless told otherwise.

        `image`: a path, bytes, a PIL image or an (H, W, 3) uint8 RGB array (`bgr` for OpenCV's order).
        `scales`: sizes relative to the picture (or to `long_side`, the length its longer side gets); several
        are merged by NMS and box voting, as is `flip`, a mirrored pass. When not given, the size itself, and for a
        picture tall enough to hold a face larger than the network knows, a small copy in which such faces are found
        whole; what looks like a face within one is left out. `tile`: cut a very large picture
        into overlapping squares of this many pixels, beside one pass over the whole at that size.
        `agree`: scores are lowered where the passes (sizes, mirrored or not) do not agree, see `boxes.agreement`;
        the order of the faces gets better, and scores mean less by themselves. Raises ImageError for what is not a
        picture, ConfigError for a bad option.
        """
        picture = read_image(image, bgr=bgr)
        height, width = picture.shape[:2]
        sizes = (1.0,) if scales is None else scales
        _check_options(sizes, long_side, tile)
        base = long_side / max(height, width) if long_side else 1.0
        passes = [found for scale in sizes for found in self._passes(picture, base * scale, flip, tile)]
        overview = overview_scale(width * base, height * base) if scales is None else None
        if overview is None or (tile is None and self._shrunk(width * base, height * base) <= overview):
            return self._merge(passes, width, height, agree)
        small = base * overview
        passes = [found.filter(_heights(found) * base <= _LARGEST_FACE) for found in passes]
        passes += [
            found.filter(_heights(found) * small >= _LEAST_IN_OVERVIEW)
            for found in self._passes(picture, small, flip, None)
        ]
        merged = self._merge(passes, width, height, agree)
        large = _heights(merged) * small >= _LEAST_IN_OVERVIEW
        return merged.filter(~parts_of_larger(merged.boxes, merged.scores, large))

    def detect_batch(
        self,
        images: Iterable[ImageSource],
        *,
        scales: Sequence[float] | None = None,
        flip: bool = False,
        long_side: int | None = None,
        tile: int | None = None,
        bgr: bool = False,
    ) -> list[Detections]:
        """The faces of several pictures of any sizes, in order; options and errors as in `detect`.

        One run of the network a picture: on a CPU larger batches are no faster, and they take more memory.
        """
        return [
            self.detect(image, scales=scales, flip=flip, long_side=long_side, tile=tile, bgr=bgr)
            for image in images
        ]

    def _passes(self, picture: Image, scale: float, flip: bool, tile: int | None) -> Iterator[Detections]:
        height, width = picture.shape[:2]
        look: Callable[[Image], Detections] = self._look_tiled(tile) if tile else self._look
        columns, rows = max(1, round(width * scale)), max(1, round(height * scale))
        if scale > 1 and columns * rows > MAX_PIXELS:
            raise ImageError(
                f"a picture of {width}x{height} enlarged to {columns}x{rows} has more than {MAX_PIXELS:,} pixels"
            )
        shown = resize(picture, columns, rows)
        yield _fit(look(shown), width, height)
        if flip:
            yield _fit(mirrored(look(np.ascontiguousarray(shown[:, ::-1]))), width, height)

    def _shrunk(self, width: float, height: float) -> float:
        """How much a network of fixed size sees a picture shrunk; 1 where it sees all of it."""
        fixed = self.session.spec.input_size
        return 1.0 if fixed is None else min(1.0, fixed[0] / height, fixed[1] / width)

    def _look(self, picture: Image) -> Detections:
        """One run of the network over the whole picture; candidates, not yet suppressed.

        A network of fixed size sees a larger picture shrunk, a smaller one padded.
        """
        spec = self.session.spec
        height, width = picture.shape[:2]
        if (shrink := self._shrunk(width, height)) < 1:
            fitting = resize(picture, max(1, int(width * shrink)), max(1, int(height * shrink)))
            return _fit(self._look(fitting), width, height)
        images = _scratch(input_shape(picture, spec.pad_multiple, spec.input_size), spec.as_bytes)
        fill_input(images, picture)
        scores, box_deltas, landmark_deltas = (output[0] for output in self.session.run(images))
        priors = prior_boxes(images.shape[2], images.shape[3], spec.strides, spec.prior_sizes)
        if len(scores) != len(priors):
            raise ModelError(f"model {spec.name}: {len(scores)} scores for {len(priors)} priors")
        likely = np.flatnonzero(scores >= self.score_threshold)
        if len(likely) > _MAX_CANDIDATES:
            likely = likely[np.argpartition(-scores[likely], _MAX_CANDIDATES)[:_MAX_CANDIDATES]]
        priors, box_deltas, landmark_deltas = priors[likely], box_deltas[likely], landmark_deltas[likely]
        if not all(np.isfinite(values).all() for values in (scores, box_deltas, landmark_deltas)):
            raise ModelError(f"model {spec.name}: its output holds values that are not finite")
        # A network that is hardly trained may ask for boxes beyond all numbers: they end at the picture's border.
        with np.errstate(over="ignore"):
            boxes = decode_boxes(box_deltas, priors, spec.variances)
        landmarks = decode_landmarks(landmark_deltas, priors, spec.variances)
        boxes = boxes.clip(0, np.array([width, height, width, height], np.float32))
        return Detections(boxes, scores[likely], landmarks, width, height).filter(min_size=1e-3)

    def _look_tiled(self, tile: int) -> Callable[[Image], Detections]:
        def look(picture: Image) -> Detections:
            height, width = picture.shape[:2]
            if max(height, width) <= tile:
                return self._look(picture)
            shrink = tile / max(height, width)
            overview = self._look(
                resize(picture, max(1, round(width * shrink)), max(1, round(height * shrink)))
            )
            parts = [_fit(overview, width, height)]
            for top in tile_starts(height, tile):
                for left in tile_starts(width, tile):
                    part = np.ascontiguousarray(picture[top : top + tile, left : left + tile])
                    # Suppressed at once: the candidates of a hundred tiles would not fit the limit.
                    found = self._merge([self._look(part)], part.shape[1], part.shape[0])
                    parts.append(_placed(found, left, top, width, height))
            return concatenate(parts, width, height)

        return look

    def _merge(
        self, passes: Sequence[Detections], width: int, height: int, agree: bool = False
    ) -> Detections:
        found = concatenate(passes, width, height)
        kept = nms(found.boxes, found.scores, self.iou_threshold, self.max_detections)
        boxes, scores, landmarks = found.boxes[kept], found.scores[kept], found.landmarks[kept]
        if len(passes) > 1:
            heard = voices(boxes, found.boxes, found.scores, _VOTE_IOU)
            boxes = vote(boxes, found.boxes, heard)
            if agree:
                # In the order of `found`, which is the best first.
                source = np.repeat(np.arange(len(passes)), [len(p) for p in passes])
                source = source[np.argsort(-np.concatenate([p.scores for p in passes]), kind="stable")]
                scores = agreement(scores, heard, source, len(passes))
        return Detections(boxes, scores, landmarks, width, height)


def overview_scale(width: float, height: float) -> float | None:
    """How much a picture is shrunk to find faces whole that are larger than any prior; None where none can be."""
    return _OVERVIEW / max(width, height) if height > _TALL else None


def mirrored(found: Detections) -> Detections:
    """The faces of the mirrored picture."""
    boxes = found.boxes[:, [2, 1, 0, 3]].copy()
    boxes[:, [0, 2]] = found.width - boxes[:, [0, 2]]
    landmarks = found.landmarks[:, FLIPPED_POINTS].copy()
    landmarks[..., 0] = found.width - landmarks[..., 0]
    return Detections(boxes, found.scores, landmarks, found.width, found.height)


def tile_starts(length: int, tile: int) -> list[int]:
    """Where the tiles along one side begin: evenly spread, a quarter shared at least, the last ends at the edge."""
    if length <= tile:
        return [0]
    count = math.ceil((length - tile * TILE_OVERLAP) / (tile * (1 - TILE_OVERLAP)))
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def _scratch(shape: tuple[int, int, int, int], as_bytes: bool) -> Input:
    """An input that is not filled yet, in memory that is this thread's until it asks again."""
    length = input_nbytes(shape, as_bytes)
    if length > _KEPT_BYTES:
        return empty_input(shape, as_bytes)
    memory = getattr(_kept, "memory", None)
    if memory is None or len(memory) < length:
        memory = _kept.memory = np.empty(length, np.uint8)
    return input_in(memory[:length], shape, as_bytes)


def _heights(found: Detections) -> NDArray[np.float32]:
    return found.boxes[:, 3] - found.boxes[:, 1]


def _fit(found: Detections, width: int, height: int) -> Detections:
    """The faces of a resized picture in the pixels of the original (rounding makes the two factors differ)."""
    factor = np.array([width / found.width, height / found.height], np.float32)
    return Detections(found.boxes * np.tile(factor, 2), found.scores, found.landmarks * factor, width, height)


def _placed(found: Detections, left: int, top: int, width: int, height: int) -> Detections:
    """A tile's faces in the whole picture, without those that an inner edge cuts."""
    x1, y1, x2, y2 = found.boxes.T
    cut = (x1 < _TILE_EDGE) & (left > 0) | (y1 < _TILE_EDGE) & (top > 0)
    cut |= (x2 > found.width - _TILE_EDGE) & (left + found.width < width)
    cut |= (y2 > found.height - _TILE_EDGE) & (top + found.height < height)
    whole = found.filter(~cut)
    shift = np.array([left, top], np.float32)
    return Detections(whole.boxes + np.tile(shift, 2), whole.scores, whole.landmarks + shift, width, height)


def _check_options(scales: Sequence[float], long_side: int | None, tile: int | None) -> None:
    if not scales or any(not 0 < scale <= 16 for scale in scales):
        raise ConfigError(f"scales = {list(scales)}: each must be over 0 and at most 16")
    if long_side is not None and long_side < 1:
        raise ConfigError(f"long_side = {long_side}: must be at least 1")
    if tile is not None and tile < 64:
        raise ConfigError(f"tile = {tile}: must be at least 64")
