"""Faces of a photo from a running `featherface serve`, with the standard library alone.

python examples/serve/client.py photo.jpg
"""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path


def faces(photo: bytes, url: str = "http://127.0.0.1:8000", token: str = "") -> list[dict]:
    """Box, score and landmarks of each face; urllib.error.HTTPError, whose body says why, when there is no answer."""
    headers = {"Content-Type": "application/octet-stream"} | (
        {"Authorization": f"Bearer {token}"} if token else {}
    )
    request = urllib.request.Request(f"{url}/v1/detect", photo, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["images"][0]["faces"]


if __name__ == "__main__":
    for face in faces(Path(sys.argv[1]).read_bytes()):
        print(face["box"], face["score"])
