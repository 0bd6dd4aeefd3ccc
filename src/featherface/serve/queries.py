"""The queries of the two endpoints. A name that is none of theirs is an error: a typo would mean the default.

As models of the query, because the framework makes any other class in a thread of its own for every request.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from featherface.serve import schema
from featherface.serve.problems import RequestError

HIDE_THRESHOLD = 0.2
"""Lower than for detecting, as on the command line: a face hidden for nothing costs less than one that is shown."""
LEAST_TILE = 256
"""Smaller tiles are no better for any face, and each costs a run of the network."""


class Options(BaseModel, frozen=True, extra="forbid"):
    """The query of /v1/detect."""

    score_threshold: Annotated[float, Field(ge=0, le=1)] = 0.5
    iou_threshold: Annotated[float, Field(ge=0, le=1)] = 0.4
    max_detections: Annotated[int, Field(ge=1, le=10_000)] = 750
    scales: Annotated[
        str,
        Field(
            description="Sizes merged: at most eight numbers, each over 0 and at most 8; auto is the picture's own, "
            "and for one of more than 800 rows a small copy too, for faces that fill it",
            examples=["1,2"],
            json_schema_extra={"pattern": schema.SCALES},
        ),
    ] = "auto"
    flip: bool = False
    long_side: Annotated[int | None, Field(ge=1, le=16_384)] = None
    tile: Annotated[int | None, Field(ge=LEAST_TILE, le=16_384)] = None

    def factors(self) -> tuple[float, ...] | None:
        """The scales as numbers, None for the detector's own choice; RequestError 422 when they are neither."""
        if not re.fullmatch(schema.SCALES, self.scales):
            message = "auto, or at most eight numbers, separated by commas, each over 0 and at most 8"
            raise RequestError(422, f"scales = {self.scales!r}: {message}")
        return None if self.scales == "auto" else tuple(float(text) for text in self.scales.split(","))


class Hiding(BaseModel, frozen=True, extra="forbid"):
    """The query of /v1/anonymise: how faces are to be hidden."""

    method: Literal["blur", "pixelate", "solid"] = "blur"
    shape: Literal["ellipse", "box"] = "ellipse"
    grow: Annotated[float, Field(ge=1, le=4)] = 1.3
    score_threshold: Annotated[float, Field(ge=0, le=1)] = HIDE_THRESHOLD
