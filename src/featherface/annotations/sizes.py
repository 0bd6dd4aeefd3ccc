"""The sizes of labelled pictures, for the formats that write them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from featherface.annotations.files import Report, stop
from featherface.annotations.types import Annotation
from featherface.errors import ImageError
from featherface.images import read_image


def with_sizes(annotations: Sequence[Annotation], report: Report = stop) -> list[Annotation]:
    """The same with `size` known: pictures whose labels do not tell it are read, on all cores.

    `report` is told of each picture that cannot be read, which is left out; the default raises ImageError.
    """
    sized: list[Annotation] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for result in pool.map(_with_size, annotations):
            if isinstance(result, ImageError):
                report(result)
            else:
                sized.append(result)
    return sized


def _with_size(annotation: Annotation) -> Annotation | ImageError:
    if annotation.size is not None:
        return annotation
    try:
        height, width = read_image(annotation.path).shape[:2]
    except ImageError as error:
        return error
    return replace(annotation, size=(width, height))
