"""What the OpenAPI page says of bodies and answers, with examples."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

DESCRIPTION = "Faces in photos: boxes, scores and five landmarks; or the same photos with their faces hidden."

_NUMBER = r"(?:8(?:\.0{1,4})?|[1-7](?:\.[0-9]{1,4})?|0?\.[0-9]{0,3}[1-9])"
SCALES = rf"^(?:auto|{_NUMBER}(?:,{_NUMBER}){{0,7}})$"
"""`auto`, or one to eight numbers over 0 and at most 8, with at most four decimals."""

# A grey JPEG of 8 x 8 pixels.
_PHOTO = (
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCgaGBYWGDEjJR0oOjM9PDkzODdASFxOQERXRTc4UG1RV19i"
    "Z2hnPk1xeXBkeFxlZ2P/wAALCAAIAAgBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAAP/EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAI"
    "AQEAAD8AP//Z"
)


class Face(BaseModel):
    """One face, in pixels of the picture as seen."""

    box: list[float] = Field(min_length=4, max_length=4, description="x1, y1, x2, y2")
    score: float = Field(ge=0, le=1)
    landmarks: list[list[float]] = Field(
        min_length=5,
        max_length=5,
        description="x, y of left eye, right eye, nose, left and right mouth corner",
    )


class Picture(BaseModel):
    """What was found in one picture, or why it could not be read."""

    path: str = Field(description="The file's name, or images[0], images[1] and so on")
    width: int | None
    height: int | None
    faces: list[Face]
    error: str | None = None  # the framework drops null from the example, which then has none


class Found(BaseModel):
    """The pictures of a request, in their order."""

    model: str
    images: list[Picture]


class Accuracy(BaseModel):
    """Average precision, 0 to 1."""

    image_set: str
    easy: float
    medium: float
    hard: float


class Shipped(BaseModel):
    """A network of the package."""

    name: str
    title: str
    parameters: int
    ap: dict[str, Accuracy] = Field(description="By protocol: original, vga, multiscale")


class Models(BaseModel):
    """What this service runs, and what ships with the package."""

    serving: str
    models: list[Shipped]


_BINARY = {"schema": {"type": "string", "format": "binary"}}


def _body(most: int | None) -> dict[str, Any]:
    """The three kinds of body, with at most so many pictures."""
    limits = {"minItems": 1} if most is None else {"minItems": 1, "maxItems": most}
    files = {"type": "array", "items": _BINARY["schema"], **limits}
    texts = {"type": "array", "items": {"type": "string", "contentEncoding": "base64"}, **limits}
    form = {"type": "object", "properties": {"file": files}, "required": ["file"]}
    content = {
        "image/*": _BINARY,
        "multipart/form-data": {"schema": form},
        "application/json": {"schema": texts, "example": [_PHOTO]},
    }
    return {"requestBody": {"required": True, "content": content}}


DETECT_BODY = _body(None)
PHOTO_BODY = _body(1)

_EXAMPLE = {
    "model": "v2",
    "images": [
        {
            "path": "photo.jpg",
            "width": 512,
            "height": 600,
            "faces": [
                {
                    "box": [178.2, 62.4, 271.0, 176.9],
                    "score": 0.93,
                    "landmarks": [[203, 105], [246, 104], [224, 128], [207, 146], [243, 146]],
                }
            ],
            "error": None,
        }
    ],
}

PROBLEM: dict[str, Any] = {
    "description": "One sentence that says what is wrong",
    "content": {
        "application/json": {
            "schema": {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
        }
    },
}
UNAUTHORISED: dict[int | str, dict[str, Any]] = {401: PROBLEM}
_PROBLEMS: dict[int | str, dict[str, Any]] = dict.fromkeys(
    (400, 401, 408, 413, 415, 422, 429, 500, 503), PROBLEM
)
DETECT: dict[int | str, dict[str, Any]] = {
    **_PROBLEMS,
    200: {"description": "Faces per picture", "content": {"application/json": {"example": _EXAMPLE}}},
}
ANONYMISE: dict[int | str, dict[str, Any]] = {
    **_PROBLEMS,
    200: {"description": "The new photo", "content": {"image/*": _BINARY}},
}
METRICS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Prometheus' text format", "content": {"text/plain": {"schema": {"type": "string"}}}}
}
