"""What the OpenAPI page says of bodies and answers, with examples."""

from __future__ import annotations

from typing import Any

DESCRIPTION = "Faces in photos: boxes, scores and five landmarks; or the same photos with their faces hidden."

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {
    "schema": {
        "type": "object",
        "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
    }
}
_LIST = {
    "schema": {"type": "array", "items": {"type": "string"}, "minItems": 1},
    "example": ["/9j/4AAQSkZJRgABAQAAAQABAAD..."],
}

PHOTO_BODY: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"image/*": _BINARY, "multipart/form-data": _FORM}}
}
DETECT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"image/*": _BINARY, "multipart/form-data": _FORM, "application/json": _LIST},
    }
}

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
_PROBLEMS: dict[int | str, dict[str, Any]] = dict.fromkeys((400, 401, 408, 413, 415, 422, 429, 503), PROBLEM)
DETECT: dict[int | str, dict[str, Any]] = {
    **_PROBLEMS,
    200: {"description": "Faces per picture", "content": {"application/json": {"example": _EXAMPLE}}},
}
ANONYMISE: dict[int | str, dict[str, Any]] = {
    **_PROBLEMS,
    200: {"description": "The new photo", "content": {"image/*": _BINARY}},
}
